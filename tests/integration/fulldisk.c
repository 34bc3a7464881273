/* SPDX-License-Identifier: MIT
 *
 * Jobs for fulldisk.test. What the driver is told it says on stdout, and waits for a file to go on:
 *
 *     fulldisk fill FOLDER    says READY, starts jobs with inputs of 64 KiB, of which one finds the disk full and waits for room; a job
 *                             that runs finds its starts refused then, and writes why into FOLDER/refused; when FOLDER/go is there
 *                             all ends, and one more is started
 *     fulldisk gone FOLDER    starts a job, says READY, waits for FOLDER/go, starts and ends what it can
 *     fulldisk check          says what jobs the store has
 */
#include <multinode.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT 65536
#define MOST 500

MN_JOB(keep, .cpu = 0.1);
MN_JOB(linger, .cpu = 0.1);

static int keep(mn_task_t *task, mn_value_t input)
{
    uint64_t size = input.size;
    return mn_yield(task, mn_array(MN_UINT64, &size, 1));
}

/* The driver has come to a stop in a start: what it has written last is old. */
static bool is_stuck(const char *folder)
{
    char name[512];
    struct stat beat;
    snprintf(name, sizeof name, "%s/beat", folder);
    return stat(name, &beat) == 0 && time(NULL) - beat.st_mtime > 2;
}

static void write_line(const char *folder, const char *file, const char *line)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", folder, file);
    FILE *stream = fopen(name, "we");
    if (!stream || fprintf(stream, "%s\n", line) < 0 || fclose(stream) != 0)
        exit(90);
}

/* Runs until it is told to end, whatever the disk does. */
static int linger(mn_task_t *task, mn_value_t input)
{
    char folder[400], name[512];
    uint64_t one = 1;
    bool refused = false;
    mn_id_t id;

    snprintf(folder, sizeof folder, "%.*s", (int)input.size, (const char *)input.data);
    snprintf(name, sizeof name, "%s/go", folder);
    while (access(name, F_OK) < 0 && !mn_cancelled(task)) {
        usleep(10000);
        if (!refused && is_stuck(folder)) {
            refused = mn_start(keep, mn_text("small"), NULL, &id) < 0;
            if (refused)
                write_line(folder, "refused", mn_error_message());
        }
    }
    return mn_yield(task, mn_array(MN_UINT64, &one, 1));
}

static void wait_for_go(const char *folder)
{
    char name[512];
    printf("READY\n");
    fflush(stdout);
    snprintf(name, sizeof name, "%s/go", folder);
    while (access(name, F_OK) < 0)
        usleep(10000);
}

static int say(const char *what, int rc)
{
    printf("%s: %s\n", what, rc < 0 ? mn_error_message() : "ok");
    fflush(stdout);
    return rc;
}

static int start_one(mn_id_t *id)
{
    static char bytes[INPUT];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)rand();
    return mn_start(keep, mn_bytes(bytes, sizeof bytes), &(mn_start_options_t){0}, id);
}

static int fill(const char *folder)
{
    mn_id_t runs, id;
    mn_info_t *info = NULL;
    char name[512];
    unsigned started = 0;
    int rc = say("linger", mn_start(linger, mn_text(folder), NULL, &runs));

    printf("READY\n");
    fflush(stdout);
    snprintf(name, sizeof name, "%s/go", folder);
    while (rc == 0 && started < MOST && access(name, F_OK) < 0) {
        write_line(folder, "beat", "");
        if ((rc = start_one(&id)) == 0)
            started++;
    }
    printf("started %u\n", started);
    rc = say("runs on", mn_wait(runs, 60, &info));
    if (rc == 0 && info->status != MN_SUCCEEDED)
        printf("not ok it is %s\n", mn_status_name(info->status));
    mn_info_destroy(info);
    return say("again", start_one(&id)) < 0 || say("ends", mn_wait(id, 60, NULL)) < 0;
}

static int gone(const char *folder)
{
    mn_id_t id;
    if (say("start", start_one(&id)) < 0 || say("wait", mn_wait(id, 60, NULL)) < 0)
        return 1;
    wait_for_go(folder);
    if (say("start", start_one(&id)) == 0)
        say("wait", mn_wait(id, 60, NULL));
    return 0;
}

static int check(void)
{
    mn_list_options_t options = {0};
    mn_id_t ids[2 * MOST];
    size_t count = 0, sound = 0;
    int rc = mn_list(&options, ids, 2 * MOST, &count);

    for (size_t i = 0; i < count; i++) {
        mn_info_t *info = NULL;
        if (mn_wait(ids[i], 60, &info) == 0)
            sound += info->status == MN_SUCCEEDED && info->result.size == sizeof(uint64_t);
        mn_info_destroy(info);
    }
    printf("jobs %zu, sound %zu\n", count, sound);
    return rc < 0 || sound != count;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)task;
    return argc == 3 && strcmp(argv[1], "fill") == 0   ? fill(argv[2])
           : argc == 3 && strcmp(argv[1], "gone") == 0 ? gone(argv[2])
                                                       : check();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
