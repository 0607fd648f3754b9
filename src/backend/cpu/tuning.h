/* tuning.h: measured choices between algorithms, by a key that names the work. One table for the process; it is read from
   and written to a small file in the user's cache folder, which holds for one processor and one version of the libraries:
   a foreign or damaged file is ignored and made anew. All functions may be called from any thread. */
#ifndef CAMBIUM_CPU_TUNING_H
#define CAMBIUM_CPU_TUNING_H

#include <stdbool.h>
#include <stddef.h>

enum { CBM_TUNING_KEY = 120, CBM_TUNING_CHOICE = 16 }; /* characters, the end included */

/* The choice for key ("" when nothing was measured). */
void cbm_tuning_find(const char *key, char choice[CBM_TUNING_CHOICE]);
/* Remembers a choice, if there is none for the key yet and the table has room, and writes the file; one that cannot be written
   is no error. Ask cbm_tuning_find what holds then. */
void cbm_tuning_add(const char *key, const char *choice);
/* What the table holds, as text ("key = choice" lines under a line that names processor and libraries); malloc'ed; NULL
   when empty. merge takes such a text: false if it is not one, or another machine's. */
char *cbm_tuning_text(void);
bool cbm_tuning_merge(const char *text, size_t length);
/* For tests: forgets everything, and reads the file again when next asked. */
void cbm_tuning_forget(void);

#endif
