/* wordnet.h: the nouns of WordNet as vectors: words whose meanings are near have near vectors. */
#ifndef CAMBIUM_RECIPES_WORDNET_H
#define CAMBIUM_RECIPES_WORDNET_H

#include <cambium/cambium.h>

enum { CBM_WORDNET_PARENTS = 4, CBM_WORDNET_WORD = 40 };

/* A set of words with one meaning; the first word stands for it. */
typedef struct cbm_synset {
    int64_t offset; /* in the file, by which others name it */
    char word[CBM_WORDNET_WORD];
    int field;                            /* 5: animals, 6: artefacts, ... (lexnames(5WN)) */
    int64_t parents[CBM_WORDNET_PARENTS]; /* indices of what it is a kind of; -1 behind the last */
} cbm_synset;

typedef struct cbm_wordnet {
    cbm_synset *at; /* by rising offset */
    int64_t count;
} cbm_wordnet;

/* Reads data.noun of WordNet 3.0 or 3.1 (wndb(5WN)). CBM_ERROR_FORMAT for what is no such file. */
cbm_status cbm_wordnet_read(cbm_context *cx, const char *path, cbm_wordnet *wordnet);
void cbm_wordnet_free(cbm_wordnet *wordnet);
/* The first meaning of a word that stands for its set, in a field; -1: none. */
int64_t cbm_wordnet_find(const cbm_wordnet *wordnet, const char *word, int field);
/* A unit vector: the sum over the meaning and all that it is a kind of, each a random direction of its own, weighted by 0.9 to the
   power of the distance. The cosine of two meanings grows with what they have in common. */
void cbm_wordnet_vector(const cbm_wordnet *wordnet, int64_t meaning, int64_t dimensions, float *vector);

#endif
