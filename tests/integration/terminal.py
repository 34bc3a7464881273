# SPDX-License-Identifier: MIT
"""Plays the user at a terminal: terminal.py SCENE COMMAND...

Runs the command on a new pseudo-terminal whose foreground it is, types, and compares what appears and the exit status.
Silent if all is well, else says what was seen; exit status 1 then.
"""
import os
import pty
import select
import signal
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
        shown = self.text.replace("\r", "").split("\n")
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


SCENES = {
    "streams": streams,
    "stopped-output": stopped_output,
    "line": line,
    "interrupt": interrupt,
    "interrupt-twice": interrupt_twice,
}

SCENES[sys.argv[1]](sys.argv[2:])
