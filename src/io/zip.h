/* zip.h: reading zip archives: npz files and PyTorch's. Rests on bytes.h. */
#ifndef CAMBIUM_IO_ZIP_H
#define CAMBIUM_IO_ZIP_H

#include "io/bytes.h"

#define CBM_ZIP_LOCAL 0x04034b50u
#define CBM_ZIP_CENTRAL 0x02014b50u
#define CBM_ZIP_END 0x06054b50u
#define CBM_ZIP_END64 0x06064b50u
#define CBM_ZIP_LOCATOR64 0x07064b50u
#define CBM_ZIP_LOCAL_BYTES 30
#define CBM_ZIP_END_BYTES 22
#define CBM_ZIP_CENTRAL_BYTES 46
#define CBM_ZIP_STORED 0
#define CBM_ZIP_DEFLATED 8
#define CBM_ZIP_NAME 256

typedef struct cbm_zip_member {
    char name[CBM_ZIP_NAME];
    uint64_t packed, size, local;
    uint32_t crc;
    uint16_t method;
} cbm_zip_member;

typedef struct cbm_zip {
    const uint8_t *bytes; /* not its own */
    size_t size;
    cbm_array members;  /* of cbm_zip_member, in the archive's order */
    cbm_array by_name;  /* of const cbm_zip_member *, sorted */
    uint64_t directory; /* where the central directory begins */
} cbm_zip;

/* Nothing yet, so that cbm_zip_free may come at any time. */
void cbm_zip_init(cbm_zip *z, cbm_heap *heap);
void cbm_zip_free(cbm_zip *z);
/* Reads and checks the directory. suffix: an ending that names lose, ".npy"; NULL: none. false: problem says why. */
bool cbm_zip_parse(cbm_zip *z, const uint8_t *bytes, size_t size, const char *suffix, cbm_problem *problem);
const cbm_zip_member *cbm_zip_find(const cbm_zip *z, const char *name); /* NULL: none */
/* A member's bytes, checked: in the archive, or inflated, to be given back then with cbm_zip_give (NULL is allowed). NULL: problem
   says why. */
const uint8_t *cbm_zip_read(const cbm_zip *z, cbm_heap *heap, const cbm_zip_member *m, uint8_t **inflated,
                            cbm_problem *problem);
void cbm_zip_give(cbm_heap *heap, const cbm_zip_member *m, uint8_t *inflated);
uint32_t cbm_zip_crc(const void *bytes, size_t size);

#endif
