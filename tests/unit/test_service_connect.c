/* SPDX-License-Identifier: MIT
 *
 * The connection file: what is written is read, what is stale or another's is not taken.
 */
#include "service/connect.h"

#include "util/error.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], store[96], path[128];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mn-connect-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(store, sizeof store, "%s/a store.h5", folder);
    snprintf(path, sizeof path, "%s.connect", store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static mni_connect_t of_this_process(void)
{
    mni_connect_t connect = {.socket = "/tmp/some/socket"};
    mni_connect_self(&connect);
    return connect;
}

static void test_there_and_back(void **state)
{
    mni_connect_t written = of_this_process(), read;
    struct stat file;

    (void)state;
    assert_int_equal(mni_connect_read(store, &read), MN_E_NO_RUNTIME);
    mode_t mask = umask(0);
    assert_int_equal(mni_connect_write(store, &written), 0);
    umask(mask);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(mni_connect_read(store, &read), 0);
    assert_string_equal(read.socket, written.socket);
    assert_string_equal(read.host, written.host);
    assert_int_equal(read.pid, getpid());
    assert_true(read.start == written.start && written.start > 0);
    mni_connect_clean(store);                                /* it is alive */
    assert_int_equal(mni_connect_write(store, &written), 0); /* in the place of the older one */
    mni_connect_remove(store);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_stale(void **state)
{
    mni_connect_t written = of_this_process(), read = {.pid = 7};

    (void)state;
    written.start++; /* the number was given to another process */
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(mni_connect_read(store, &read), MN_E_NO_RUNTIME);
    assert_int_equal(read.pid, 7); /* nothing was written */
    mni_connect_remove(store);
    assert_int_equal(access(path, F_OK), 0); /* it is not this process's */
    mni_connect_clean(store);
    assert_int_equal(access(path, F_OK), -1);

    written = of_this_process();
    strcpy(written.boot, "another");
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(mni_connect_read(store, &read), MN_E_NO_RUNTIME);

    written = of_this_process();
    strcpy(written.host, "elsewhere");
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(mni_connect_read(store, &read), MN_E_NO_RUNTIME);
    assert_non_null(strstr(mn_error_message(), "elsewhere"));
    mni_connect_clean(store);
    assert_int_equal(access(path, F_OK), 0); /* whether it is gone cannot be seen from here */
}

#define PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Another host's: over TLS if it listens there, else not. */
static void test_elsewhere(void **state)
{
    mni_connect_t written = of_this_process(), read;

    (void)state;
    strcpy(written.url, "https://10.1.2.3:4567");
    strcpy(written.token, TOKEN);
    strcpy(written.pin, PIN);
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(mni_connect_read(store, &read), 0);
    assert_false(read.remote); /* here the socket is the way */

    strcpy(written.host, "elsewhere");
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(mni_connect_read(store, &read), 0);
    assert_true(read.remote);
    assert_string_equal(read.url, written.url);
    assert_string_equal(read.token, written.token);
    assert_string_equal(read.pin, written.pin);

    strcpy(written.url, "http://127.0.0.1:4567"); /* which is not the loopback of here */
    written.pin[0] = '\0';
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(mni_connect_read(store, &read), MN_E_NO_RUNTIME);
    assert_non_null(strstr(mn_error_message(), "--listen"));
}

static void test_unsafe(void **state)
{
    static const char *const parts[][3] = {
        {"https://a:1", "null", "\"" PIN "\""},
        {"https://a:1", "\"" TOKEN "\"", "null"},
        {"http://a:1", "\"" TOKEN "\"", "\"" PIN "\""},
        {"ftp://a:1", "\"" TOKEN "\"", "\"" PIN "\""},
        {"file:///etc/passwd", "\"" TOKEN "\"", "\"" PIN "\""},
        {"https://a :1", "\"" TOKEN "\"", "\"" PIN "\""},
        {"https://a\\r\\nX: y", "\"" TOKEN "\"", "\"" PIN "\""},
        {"https://a:1", "\"" TOKEN "0\"", "\"" PIN "\""},
        {"https://a:1", "\"" TOKEN "\\r\\nX: y\"", "\"" PIN "\""},
        {"https://a:1", "\"X: y\"", "\"" PIN "\""},
        {"https://a:1", "7", "\"" PIN "\""},
        {"https://a:1", "\"" TOKEN "\"", "\"/etc/key.pem\""},
        {"https://a:1", "\"" TOKEN "\"", "\"sha256//\""},
        {"https://a:1", "\"" TOKEN "\"", "\"sha256//x;sha256//y\""},
    };
    mni_connect_t read;
    char text[1000];

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(text, sizeof text,
                 "{\"multinode\":1,\"host\":\"h\",\"boot\":\"b\",\"pid\":1,\"start\":1,"
                 "\"socket\":\"/s\",\"url\":\"%s\",\"token\":%s,\"pin\":%s}",
                 parts[i][0], parts[i][1], parts[i][2]);
        write_text(text);
        if (mni_connect_read(store, &read) != MN_E_PROTOCOL)
            fail_msg("taken: %s", text);
    }
}

static void test_damaged(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "7",
        "{}",
        "{\"multinode\": 2}",
        "{\"multinode\": 1, \"pid\": \"x\"}",
        "{\"multinode\": 1, \"multinode\": 1}",
        "{\"multinode\":1,\"host\":\"h\",\"boot\":\"b\",\"pid\":-1,\"start\":1,\"socket\":\"/s\"}",
        "{\"multinode\":1,\"host\":\"h\",\"boot\":\"b\",\"pid\":1,\"start\":1,\"socket\":\"s\"}",
        "{\"multinode\":1,\"host\":7,\"boot\":\"b\",\"pid\":1,\"start\":1,\"socket\":\"/s\"}"};
    mni_connect_t read;
    char text[5000];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(texts[i]);
        assert_int_equal(mni_connect_read(store, &read), MN_E_PROTOCOL);
    }
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    write_text(text);
    assert_int_equal(mni_connect_read(store, &read), MN_E_PROTOCOL);
}

static void test_others(void **state)
{
    mni_connect_t written = of_this_process(), read;
    char other[160];

    (void)state;
    assert_int_equal(mni_connect_write(store, &written), 0);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(mni_connect_read(store, &read), MN_E_PROTOCOL);
    assert_int_equal(chmod(path, 0600), 0);
    snprintf(other, sizeof other, "%s/other", folder);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0); /* is not followed */
    assert_true(mni_connect_read(store, &read) < 0);
    unlink(other);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mni_connect_read(store, &read), MN_E_PROTOCOL);
    assert_int_equal(mni_connect_write(store, &written), MN_E_SYSTEM); /* and leaves nothing */
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unsafe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
