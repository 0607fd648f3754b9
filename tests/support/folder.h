/* folder.h: a temporary folder for a test, and files in it. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* cmocka set-up and tear-down: *state becomes the folder's path; at the end it is removed with all in it. */
int folder_make(void **state);
int folder_remove(void **state);
/* folder/name; valid until the fourth call after this one. */
const char *folder_path(void *const *state, const char *name);
void folder_put(const char *path, const void *bytes, size_t size);
/* The whole file, to be freed; *size its length. NULL: there is none. */
unsigned char *folder_get(const char *path, size_t *size);
/* Number of entries in a folder, . and .. not counted. */
size_t folder_count(const char *folder);

#endif
