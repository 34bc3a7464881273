/* SPDX-License-Identifier: MIT
 *
 * Tokens and certificates: see identity.h. All of it is GnuTLS's work.
 */
#include "service/identity.h"

#include "util/error.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <multinode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#define SCHEME "Bearer "
#define PIN "sha256//"
#define DAY 86400
#define VALID_DAYS 3650 /* longer than any run: its end is that of the process */
#define SHA256_BYTES 32

int mni_token_make(char token[MNI_TOKEN_DIGITS + 1])
{
    unsigned char bytes[MNI_TOKEN_DIGITS / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return mni_error_errno("cannot make a token");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    gnutls_memset(bytes, 0, sizeof bytes);
    return 0;
}

bool mni_token_fits(const char *authorization, const char token[MNI_TOKEN_DIGITS + 1])
{
    if (!authorization || strncasecmp(authorization, SCHEME, strlen(SCHEME)) != 0)
        return false;
    const char *given = authorization + strlen(SCHEME);
    given += strspn(given, " ");
    return strlen(given) == MNI_TOKEN_DIGITS && strlen(token) == MNI_TOKEN_DIGITS &&
           gnutls_memcmp(given, token, MNI_TOKEN_DIGITS) == 0;
}

/* --- certificates ------------------------------------------------------------------------------------------------------ */

static int describe(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    static const char name[] = "multinode";
    unsigned char serial[16];
    time_t now = time(NULL);
    int rc;

    if ((rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial)) < 0)
        return rc;
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 1); /* positive, and no less than 16 bytes */
    if ((rc = gnutls_x509_crt_set_version(crt, 3)) < 0 ||
        (rc = gnutls_x509_crt_set_serial(crt, serial, sizeof serial)) < 0 ||
        (rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                            sizeof name - 1)) < 0 ||
        (rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, sizeof name - 1,
                                                   GNUTLS_FSAN_SET)) < 0 ||
        /* the clocks of nodes differ */
        (rc = gnutls_x509_crt_set_activation_time(crt, now - DAY)) < 0 ||
        (rc = gnutls_x509_crt_set_expiration_time(crt, now + (time_t)VALID_DAYS * DAY)) < 0 ||
        (rc = gnutls_x509_crt_set_key(crt, key)) < 0)
        return rc;
    return gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
}

/* The digest of its public key, in base64. */
static int pin(gnutls_x509_crt_t crt, char to[MNI_PIN_ROOM])
{
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t der = {NULL, 0}, text = {NULL, 0};
    unsigned char digest[SHA256_BYTES];
    const gnutls_datum_t bytes = {digest, sizeof digest};
    int rc;

    if ((rc = gnutls_pubkey_init(&key)) < 0 || (rc = gnutls_pubkey_import_x509(key, crt, 0)) < 0 ||
        (rc = gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der)) < 0 ||
        (rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest)) < 0 ||
        (rc = gnutls_base64_encode2(&bytes, &text)) < 0)
        goto cleanup;
    snprintf(to, MNI_PIN_ROOM, PIN "%.*s", (int)text.size, (const char *)text.data);

cleanup:
    gnutls_free(text.data);
    gnutls_free(der.data);
    if (key)
        gnutls_pubkey_deinit(key);
    return rc;
}

static char *take_text(const gnutls_datum_t *pem)
{
    return strndup((const char *)pem->data, pem->size);
}

int mni_certificate_make(mni_certificate_t *certificate)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t key_pem = {NULL, 0}, crt_pem = {NULL, 0};
    int rc;

    *certificate = (mni_certificate_t){.key = NULL};
    if ((rc = gnutls_x509_privkey_init(&key)) < 0 ||
        (rc = gnutls_x509_privkey_generate(
             key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0)) < 0 ||
        (rc = gnutls_x509_crt_init(&crt)) < 0 || (rc = describe(crt, key)) < 0 ||
        (rc = pin(crt, certificate->pin)) < 0 ||
        (rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                                &key_pem)) < 0 ||
        (rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem)) < 0)
        goto cleanup;
    certificate->key = take_text(&key_pem);
    certificate->chain = take_text(&crt_pem);
    rc = certificate->key && certificate->chain ? 0 : GNUTLS_E_MEMORY_ERROR;

cleanup:
    if (key_pem.data)
        gnutls_memset(key_pem.data, 0, key_pem.size);
    gnutls_free(key_pem.data);
    gnutls_free(crt_pem.data);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (key)
        gnutls_x509_privkey_deinit(key);
    return rc < 0 ? mni_error(MN_E_SYSTEM, "cannot make a certificate: %s", gnutls_strerror(rc))
                  : 0;
}

void mni_certificate_destroy(mni_certificate_t *certificate)
{
    if (certificate->key)
        gnutls_memset(certificate->key, 0, strlen(certificate->key));
    free(certificate->key);
    free(certificate->chain);
    *certificate = (mni_certificate_t){.key = NULL};
}
