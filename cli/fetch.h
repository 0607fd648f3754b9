/* fetch.h: getting data sets: the catalogue, downloads, archives, and putting checked files in place. */
#ifndef CAMBIUM_CLI_FETCH_H
#define CAMBIUM_CLI_FETCH_H

#include "cli.h"

/* Why something failed, in one line. */
typedef struct cbm_reason {
    char text[400];
} cbm_reason;
void cbm_because(cbm_reason *reason, const char *format, ...) CBM_PRINTF(2, 3);

/* ---- catalogue.c ---- */
typedef struct cbm_data_file {
    const char *name;
    int64_t size;       /* bytes, unpacked */
    const char *sha256; /* of the unpacked file, so that each source is checked alike */
} cbm_data_file;

typedef struct cbm_data_set {
    const char *name, *summary, *from;
    const cbm_data_file *files;
    size_t n_files;
    const char *const *folders; /* where the files may lie under CAMBIUM_DATA, ending in NULL */
    const char *const *mirrors; /* URLs of folders that hold the archive, or each file with .gz, ending in NULL */
    bool plain;                 /* mirrors hold each file as it is, without .gz */
    const char *archive;        /* that holds all files; NULL: none */
    int64_t archive_size;       /* bytes */
    const char *archive_folder; /* of the files in the archive */
    const char *package;        /* NAME@VERSION for `npm pack`; NULL: none */
    const char *package_folder; /* of the files in the package */
    /* Makes the files in that folder from what the package holds there; NULL: it holds the files themselves. */
    bool (*convert)(const char *folder, cbm_reason *reason);
    const char *debian;        /* a Debian package for `apt-get download`; NULL: none */
    const char *debian_folder; /* of the files in it, or of what they are made from */
    bool (*debian_convert)(const char *folder, cbm_reason *reason);
} cbm_data_set;

extern const cbm_data_set cbm_data_sets[];
extern const size_t cbm_data_set_count;
const cbm_data_set *cbm_data_set_named(const char *name);

/* ---- download.c ---- */
typedef enum cbm_download_end {
    CBM_DOWNLOAD_DONE,
    CBM_DOWNLOAD_FAILED,     /* this file; another one of the same server may do */
    CBM_DOWNLOAD_UNREACHABLE /* the server */
} cbm_download_end;
/* Fetches url into part, going on where part ends if it exists. On failure part keeps what came, for the next time.
   most: refuse more bytes than these. *resumed: part was not empty. */
cbm_download_end cbm_download(const char *url, const char *part, const char *label, int64_t most, bool *resumed,
                              cbm_reason *reason);

/* ---- archive.c ---- */
/* Unpacks a single file (gzip or plain) into a new file `to`, which may become most bytes at the most, and gives the
   SHA-256 of what was written. */
bool cbm_decompress(const char *from, const char *to, int64_t most, char hex[static 65], cbm_reason *reason);
/* Unpacks an archive (tar, also compressed, zip, or a Debian package's outer one) into a folder. One with links, absolute paths, "..", special files,
   or more than most bytes or entries is refused. */
bool cbm_unpack(const char *archive, const char *folder, int64_t most_bytes, int64_t most_entries, cbm_reason *reason);
/* Whether a path from an archive stays inside the folder it is unpacked into. */
bool cbm_path_is_safe(const char *path);

/* ---- package.c ---- */
/* Runs the npm client's `npm pack`, or `apt-get download`, in folder and names the archive it left there. */
bool cbm_npm_pack(const char *package, const char *folder, char archive[static CBM_PATH_ROOM], cbm_reason *reason);
bool cbm_apt_download(const char *package, const char *folder, char archive[static CBM_PATH_ROOM], cbm_reason *reason);
/* The first file in folder whose name begins and ends so. */
bool cbm_find_file(const char *folder, const char *begin, const char *end, char out[static CBM_PATH_ROOM]);
void cbm_remove_tree(const char *folder);

/* ---- sheets.c ---- */
/* CIFAR-10's six files in their binary form, in folder, from data_batch_1.png to data_batch_5.png and test_batch.png there
   (a row of 1024 pixels for each picture) and the labels in train_lables.json and test_lables.json. */
bool cbm_cifar_from_sheets(const char *folder, cbm_reason *reason);

/* ---- tables.c ---- */
/* iris.data and wine.csv, in folder, from iris.csv and wine_data.csv there, as scikit-learn ships them. */
bool cbm_iris_from_csv(const char *folder, cbm_reason *reason);
bool cbm_wine_from_csv(const char *folder, cbm_reason *reason);

/* ---- fetch.c ---- */
/* A file of a set in its place, with the right contents. */
bool cbm_data_file_good(const cbm_data_file *file, const char *folder);
/* Gets what is missing of a set into folder, from the first source that has it. Prints to out. Returns an exit code. */
int cbm_fetch(const cbm_data_set *set, const char *folder, FILE *out);

#endif
