# SPDX-License-Identifier: MIT
"""Plays the user at a terminal: terminal.py SCENE COMMAND...

Runs the command on a new pseudo-terminal whose foreground it is, types, and compares what appears and the exit status.
Silent if all is well, else says what was seen; exit status 1 then.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

PATIENCE = 60 * float(os.environ.get("MULTINODE_TEST_SLOW", "1"))


class Screen:
    def __init__(self, command, lflag=0):
        self.text = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            modes = termios.tcgetattr(0)
            modes[3] |= lflag
            termios.tcsetattr(0, termios.TCSANOW, modes)
            os.execvp(command[0], command)

    def read(self, until):
        """Reads on until the text appears, or the end if it is None."""
        end = time.monotonic() + PATIENCE
        while until is None or until not in self.text:
            if time.monotonic() > end:
                self.fail("nothing more came, but expected was: %r" % until)
            if not select.select([self.terminal], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.terminal, 4096)
            except OSError:  # EIO: nobody has it open any more
                data = b""
            if not data:
                if until is None:
                    return
                self.fail("the end came, but expected was: %r" % until)
            self.text += data.decode(errors="replace")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, *lines):
        shown = self.text.replace("\r", "").replace("^C", "").split("\n")  # the echo may be before any line
        for line in lines:
            if line not in shown:
                self.fail("expected was the line: %r" % line)

    def end(self, *statuses):
        """Reads to the end; the exit status must be one of these, or anything but 0 if none is given."""
        self.read(None)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in statuses if statuses else code == 0:
            self.fail("exit status %d instead of %s" % (code, statuses or "an error"))

    def fail(self, why):
        print("%s; on the screen:\n%s" % (why, self.text))
        sys.exit(1)


def streams(command):
    screen = Screen(command)
    screen.end(0)
    screen.expect("output: a terminal", "error: a terminal")


def stopped_output(command):
    """With `stty tostop` a process of the background that writes would be stopped."""
    screen = Screen(command, termios.TOSTOP)
    screen.end(0)
    screen.expect("output: a terminal", "error: a terminal")


def line(command):
    screen = Screen(command)
    screen.type("some words\n")
    screen.read("some words\r\n")
    screen.type("\x04")
    screen.end(0)
    shown = screen.text.replace("\r", "").split("\n")
    if shown.count("some words") != 2:  # the terminal's echo, and the driver's
        screen.fail("the line did not come back")


def interrupt(command):
    screen = Screen(command)
    screen.read("READY")
    screen.type("\x03")
    screen.end(3)
    screen.expect("wait: MN_E_INTERRUPTED")


def interrupt_twice(command):
    screen = Screen(command)
    screen.read("READY")
    screen.type("\x03")
    screen.read("Ctrl-C again to stop now")
    screen.type("\x03")
    screen.end()


class Grid(Screen):
    """What is on the screen of a terminal that can clear it and go to a place, and nothing else (see grid.ti in top.test)."""

    def __init__(self, command, rows, columns):
        os.environ.update(TERM="grid", LINES="", COLUMNS="")
        del os.environ["LINES"], os.environ["COLUMNS"]
        super().__init__(["sh", "-c", "stty rows %d cols %d && exec \"$@\"" % (rows, columns), "sh"] + command)
        self.rows, self.columns = rows, columns

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def lines(self):
        """The screen now: what came, carried out."""
        places, row, column = {}, 0, 0
        for match in re.finditer(r"\x1b\[H\x1b\[2J|\x1b\[(\d+);(\d+)H|(\r)|(\n)|([^\x1b])|(\x1b)", self.text):
            if match.group(1):
                row, column = int(match.group(1)) - 1, int(match.group(2)) - 1
            elif match.group(3):
                column = 0
            elif match.group(4):
                row += 1
            elif match.group(5):
                places[row, column] = match.group(5)
                column += 1
            elif match.group(6):
                continue  # the beginning of what has not come yet
            else:
                places, row, column = {}, 0, 0
        if any(r >= self.rows or c >= self.columns for r, c in places):
            return []  # on its way from one size to another
        return ["".join(places.get((r, c), " ") for c in range(self.columns)).rstrip() for r in range(self.rows)]

    def until(self, what, is_so):
        end = time.monotonic() + PATIENCE
        while not is_so(self.lines()):
            if time.monotonic() > end:
                self.fail("%s: never; the screen is\n%s" % (what, "\n".join(self.lines())))
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:
                    self.fail("%s: the end came first" % what)

    def shows(self, text):
        self.until(text, lambda lines: any(text in line for line in lines))


def step(path):
    with open(path, "a") as file:
        file.write("x")


def top(arguments):
    """multinode top while a job takes three steps, each when the file of its first argument gets longer."""
    path, job, command = arguments[0], arguments[1], arguments[2:]
    screen = Grid(command + ["top", "--interval", "0.1"], 24, 100)
    screen.until("the frame", lambda lines: lines[:1] and lines[0].startswith("multinode top  up 0:") and
                 "9 running" in lines[1] and lines[2].startswith("cores  [") and
                 any(line.startswith(job[:8]) and "  0%" in line for line in lines) and lines[-1] == "q quit   p pause")
    screen.shows("finished/s")
    step(path)
    screen.until("33 %", lambda lines: any(line.startswith(job[:8]) and "[###-------]  33%  a step" in line for line in lines))
    screen.type("p")
    screen.shows("  paused")
    step(path)
    while "progress         66.7%" not in subprocess.run(command + ["get", job], capture_output=True, text=True).stdout:
        time.sleep(0.05)
    screen.resize(11, 70)  # draws again, but does not look again
    screen.until("a smaller screen", lambda lines: lines and lines[-1] == "q quit   p pause" and lines[1].startswith("jobs"))
    screen.until("as it was when halted", lambda lines: any("  33%" in line for line in lines))
    screen.shows("and 8 more running jobs")
    screen.type("p")
    screen.shows("  67%")
    screen.resize(4, 20)
    screen.until("hardly any screen", lambda lines: lines and lines[-1] == "q quit   p pause" and lines[2].startswith("cores"))
    screen.resize(30, 120)
    screen.shows("  67%  a step")
    step(path)
    screen.until("its end", lambda lines: lines and "8 running" in lines[1] and not any(job[:8] in line for line in lines))
    screen.type("q")
    screen.end(0)


def top_ended(command):
    """The runtime ends under it."""
    screen = Grid(command + ["top", "--interval", "0.1"], 24, 100)
    screen.shows("q quit")
    subprocess.run(command + ["shutdown"], check=True)
    screen.end(1)
    if "does not answer" not in screen.text:
        screen.fail("it does not say why it ended")


SCENES = {
    "top": top,
    "top-ended": top_ended,
    "streams": streams,
    "stopped-output": stopped_output,
    "line": line,
    "interrupt": interrupt,
    "interrupt-twice": interrupt_twice,
}

SCENES[sys.argv[1]](sys.argv[2:])
