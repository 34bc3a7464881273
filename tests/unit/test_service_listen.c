/* SPDX-License-Identifier: MIT
 *
 * Where a runtime listens: what --listen may say, the sockets that are made of it, and by what it and those who come know each
 * other.
 */
#include "service/identity.h"
#include "service/listen.h"

#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned port;
        bool off, plain;
    } good[] = {{"off", "", 0, true, false},
                {"*", "", 0, false, false},
                {"*:1", "", 1, false, false},
                {"127.0.0.1", "127.0.0.1", 0, false, false},
                {"10.1.2.3:65535", "10.1.2.3", 65535, false, false},
                {"node-7.cluster:8080", "node-7.cluster", 8080, false, false},
                {"::1", "::1", 0, false, false},
                {"fe80::1%eth0", "fe80::1%eth0", 0, false, false},
                {"[::1]", "::1", 0, false, false},
                {"[::]:80", "::", 80, false, false},
                {"http://localhost:8080", "localhost", 8080, false, true},
                {"http://[::1]:8080", "::1", 8080, false, true},
                {"offline", "offline", 0, false, false}};
    static const char *const bad[] = {"",        ":80",        "host:",
                                      "host:0",  "host:65536", "host:-1",
                                      "host:",   "host: 80",   "host:80x",
                                      "[::1",    "[]",         "[::1]80",
                                      "[::1]:",  "a b",        "a/b",
                                      "http://", "http://a/b", "https://a",
                                      "a@b",     "*.de",       "host:99999999999999999999",
                                      "\xff",    "a\"b",       "ho\nst",
                                      "[a\"b]"};
    mni_listen_t listen = {.port = 7};
    char text[400];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(mni_listen_parse(good[i].text, &listen), 0);
        assert_string_equal(listen.host, good[i].host);
        assert_int_equal(listen.port, good[i].port);
        assert_int_equal(listen.off, good[i].off);
        assert_int_equal(listen.plain, good[i].plain);
    }
    listen.port = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (mni_listen_parse(bad[i], &listen) != MN_E_INVALID)
            fail_msg("\"%s\" is taken", bad[i]);
        assert_int_equal(listen.port, 7); /* nothing was written */
    }
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(mni_listen_parse(text, &listen), MN_E_INVALID);
    text[MNI_LISTEN_HOST - 1] = '\0'; /* the longest that fits */
    assert_int_equal(mni_listen_parse(text, &listen), 0);
    assert_int_equal(strlen(listen.host), MNI_LISTEN_HOST - 1);
}

static int open_as(const char *text, char address[MNI_LISTEN_ADDRESS])
{
    mni_listen_t listen;

    assert_int_equal(mni_listen_parse(text, &listen), 0);
    return mni_listen_open(&listen, address);
}

static void test_open(void **state)
{
    char address[MNI_LISTEN_ADDRESS] = "untouched", again[MNI_LISTEN_ADDRESS],
         all[MNI_LISTEN_ADDRESS];

    (void)state;
    int first = open_as("127.0.0.1", address);
    assert_true(first >= 0);
    assert_int_equal(strncmp(address, "127.0.0.1:", 10), 0);
    assert_true(atoi(address + 10) > 0);

    assert_int_equal(open_as(address, again), MN_E_SYSTEM); /* it is taken */
    assert_non_null(strstr(mn_error_message(), address + 10));
    snprintf(all, sizeof all, "*:%s", address + 10);
    assert_int_equal(open_as(all, again), MN_E_SYSTEM); /* also among all addresses */
    close(first);
    first = open_as(address, again);
    assert_true(first >= 0);
    assert_string_equal(again, address);
    close(first);

    first = open_as("*", address); /* by a name or a number that is no wildcard */
    assert_true(first >= 0);
    assert_null(strstr(address, "0.0.0.0"));
    assert_int_not_equal(address[0], '[');
    close(first);

    first = open_as("http://localhost", address);
    assert_true(first >= 0);
    close(first);
    assert_int_equal(open_as("http://*", address), MN_E_INVALID); /* plain, and not the loopback */
    assert_int_equal(open_as("http://0.0.0.0:8080", address), MN_E_INVALID);
    assert_int_equal(open_as("no-such-host.invalid", address), MN_E_SYSTEM);
    assert_int_equal(open_as("192.0.2.1", address), MN_E_SYSTEM); /* not of this host */
}

static void test_token(void **state)
{
    char token[MNI_TOKEN_DIGITS + 1], other[MNI_TOKEN_DIGITS + 1], empty[MNI_TOKEN_DIGITS + 1] = "";
    char header[128];

    (void)state;
    assert_int_equal(mni_token_make(token), 0);
    assert_int_equal(mni_token_make(other), 0);
    assert_int_equal(strspn(token, "0123456789abcdef"), MNI_TOKEN_DIGITS);
    assert_string_not_equal(token, other);
    snprintf(header, sizeof header, "Bearer %s", token);
    assert_true(mni_token_fits(header, token));
    assert_false(mni_token_fits(header, other));
    snprintf(header, sizeof header, "bEARER  %s", token);
    assert_true(mni_token_fits(header, token));
    snprintf(header, sizeof header, "Bearer %s0", token);
    assert_false(mni_token_fits(header, token));
    snprintf(header, sizeof header, "Bearer %.63s", token);
    assert_false(mni_token_fits(header, token));
    snprintf(header, sizeof header, "Basic %s", token);
    assert_false(mni_token_fits(header, token));
    assert_false(mni_token_fits(token, token));
    assert_false(mni_token_fits("", token));
    assert_false(mni_token_fits("Bearer ", token));
    assert_false(mni_token_fits(NULL, token));
    assert_false(mni_token_fits("Bearer ", empty)); /* no token is no key */
}

static void test_certificate(void **state)
{
    mni_certificate_t one, other;

    (void)state;
    assert_int_equal(mni_certificate_make(&one), 0);
    assert_int_equal(mni_certificate_make(&other), 0);
    assert_non_null(strstr(one.key, "PRIVATE KEY"));
    assert_non_null(strstr(one.chain, "BEGIN CERTIFICATE"));
    assert_null(strstr(one.chain, "PRIVATE"));
    assert_int_equal(strncmp(one.pin, "sha256//", 8), 0);
    assert_int_equal(strlen(one.pin), 8 + 44); /* base64 of 32 bytes */
    assert_string_not_equal(one.pin, other.pin);
    mni_certificate_destroy(&one);
    mni_certificate_destroy(&other);
    mni_certificate_destroy(&other); /* again is fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
