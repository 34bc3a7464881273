/* SPDX-License-Identifier: MIT
 *
 * By what a runtime and those who come over TCP know each other: a certificate made for the run, whose public key the connection file
 * names, and a secret that the file tells as well. Whoever can read the file may come in, and is sure of whom he speaks to.
 */
#ifndef MNI_SERVICE_IDENTITY_H
#define MNI_SERVICE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#define MNI_TOKEN_DIGITS 64 /* 256 bits */
#define MNI_PIN_ROOM 64     /* "sha256//" and 44 characters */

/* A new secret, as hexadecimal digits. MN_E_SYSTEM. */
int mni_token_make(char token[MNI_TOKEN_DIGITS + 1]);

/* Whether a header "Authorization" (NULL: there is none) has this token. Takes as long for any token of the right length. */
bool mni_token_fits(const char *authorization, const char token[MNI_TOKEN_DIGITS + 1]);

typedef struct mni_certificate {
    char *key, *chain;      /* PEM */
    char pin[MNI_PIN_ROOM]; /* of its public key, as curl's --pinnedpubkey takes it */
} mni_certificate_t;

/* Makes a key and a certificate signed by itself. To be destroyed, also after a failure. MN_E_SYSTEM. */
int mni_certificate_make(mni_certificate_t *certificate);
void mni_certificate_destroy(mni_certificate_t *certificate);

#endif
