/* measured.h: what a backend has measured to choose algorithms, for those who store it. backend.c */
#ifndef CAMBIUM_BACKEND_MEASURED_H
#define CAMBIUM_BACKEND_MEASURED_H

#include <stdbool.h>
#include <stddef.h>

struct cbm_backend;

/* malloc'ed text; NULL: nothing. */
char *cbm_backend_measured(const struct cbm_backend *backend);
/* Takes such a text over, in place of other choices; plans already made keep theirs. false: it is damaged, or another machine's; nothing has changed then. */
bool cbm_backend_remember(const struct cbm_backend *backend, const char *text, size_t length);

#endif
