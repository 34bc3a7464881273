/* SPDX-License-Identifier: MIT
 *
 * Connection files. Of what is taken a URL and headers are made: nothing in it may break out of them.
 */
#include "fuzz.h"

#include "service/connect.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void check_visible(const char *text, size_t room)
{
    MUST(memchr(text, '\0', room));
    for (; *text; text++)
        MUST(*text > ' ' && *text < 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mni_connect_t connect = {.pid = -7};
    int rc = mni_connect_parse((const char *)data, size, "FILE.h5.connect", &connect);

    if (rc < 0) {
        MUST(rc == MN_E_PROTOCOL && connect.pid == -7);
        return 0;
    }
    MUST(connect.pid > 0 && connect.socket[0] == '/');
    MUST(memchr(connect.host, '\0', sizeof connect.host));
    MUST(memchr(connect.boot, '\0', sizeof connect.boot));
    MUST(memchr(connect.socket, '\0', sizeof connect.socket));
    check_visible(connect.url, sizeof connect.url);
    check_visible(connect.token, sizeof connect.token);
    check_visible(connect.pin, sizeof connect.pin);
    MUST(!connect.url[0] == !connect.token[0]);
    if (connect.pin[0])
        MUST(strncmp(connect.url, "https://", 8) == 0 && strncmp(connect.pin, "sha256//", 8) == 0);
    return 0;
}
