/* sha256.h: SHA-256 (FIPS 180-4), to check what was downloaded. */
#ifndef CAMBIUM_CLI_SHA256_H
#define CAMBIUM_CLI_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct cbm_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} cbm_sha256;

void cbm_sha256_begin(cbm_sha256 *s);
void cbm_sha256_add(cbm_sha256 *s, const void *data, size_t size);
/* The digest in lower-case hexadecimal. */
void cbm_sha256_end(cbm_sha256 *s, char hex[static 65]);

#endif
