/* multi_modal.c: pictures and words in one space: a network takes a picture to the vector of its label's word, so that it can name
   what it has never seen. After Frome et al., "DeViSE: a deep visual-semantic embedding model" (2013); the vectors are made of
   WordNet, in which a cat is nearer to a dog than to a truck. */
#include "wordnet.h"
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIMENSIONS 128
#define WORDS 2000 /* of the vocabulary, the labels among them */
#define WRONG 100  /* words that a step pushes away */
#define MARGIN 0.2
#define NEAREST 5 /* words shown */
#define BATCH 500

enum { LABELS = 10, ANIMALS = 5, ARTEFACTS = 6 };
static const struct {
    const char *word;
    int field;
    bool held_out; /* never seen while training */
} labels[LABELS] = { { "airplane", ARTEFACTS, false }, { "car", ARTEFACTS, false }, { "bird", ANIMALS, false },
                     { "cat", ANIMALS, true },         { "deer", ANIMALS, false },  { "dog", ANIMALS, false },
                     { "frog", ANIMALS, false },       { "horse", ANIMALS, false }, { "ship", ARTEFACTS, false },
                     { "truck", ARTEFACTS, true } };

/* ---- words: the ten labels first, then animals and artefacts evenly chosen ---- */

typedef struct vocabulary {
    int64_t count;
    char word[WORDS][CBM_WORDNET_WORD];
    float vector[WORDS][DIMENSIONS]; /* of length 1, the mean of all taken away before */
} vocabulary;

static void add_word(vocabulary *v, const cbm_wordnet *w, int64_t meaning)
{
    memcpy(v->word[v->count], w->at[meaning].word, CBM_WORDNET_WORD);
    cbm_wordnet_vector(w, meaning, DIMENSIONS, v->vector[v->count++]);
}

/* So that what all words have in common does not count. */
static void centre(vocabulary *v)
{
    double mean[DIMENSIONS] = { 0 };
    for (int64_t i = 0; i < v->count * DIMENSIONS; i++)
        mean[i % DIMENSIONS] += (double)v->vector[i / DIMENSIONS][i % DIMENSIONS] / (double)v->count;
    for (int64_t i = 0; i < v->count; i++) {
        double squares = 1e-12;
        for (int k = 0; k < DIMENSIONS; k++) {
            v->vector[i][k] -= (float)mean[k];
            squares += (double)v->vector[i][k] * (double)v->vector[i][k];
        }
        for (int k = 0; k < DIMENSIONS; k++)
            v->vector[i][k] = (float)((double)v->vector[i][k] / sqrt(squares));
    }
}

static cbm_status read_words(cbm_context *cx, const char *path, vocabulary *v)
{
    cbm_wordnet w;
    if (cbm_wordnet_read(cx, path, &w) != CBM_OK)
        return cbm_context_status(cx);
    int64_t meanings[LABELS], things = 0, met = 0;
    for (int i = 0; i < LABELS; i++) {
        meanings[i] = cbm_wordnet_find(&w, labels[i].word, labels[i].field);
        if (meanings[i] < 0)
            cbm_fail(cx, CBM_ERROR_FORMAT, "[multi-modal] '%.200s' does not know the word %s", path, labels[i].word);
        else
            add_word(v, &w, meanings[i]);
    }
    for (int64_t i = 0; i < w.count; i++)
        things += w.at[i].field == ANIMALS || w.at[i].field == ARTEFACTS;
    for (int64_t i = 0; i < w.count && v->count < WORDS && cbm_context_status(cx) == CBM_OK; i++) {
        bool is_label = false, is_thing = w.at[i].field == ANIMALS || w.at[i].field == ARTEFACTS;
        for (int k = 0; k < LABELS; k++)
            is_label = is_label || meanings[k] == i;
        if (is_thing && !is_label && ++met * (WORDS - LABELS) / (things - LABELS) > v->count - LABELS)
            add_word(v, &w, i);
    }
    cbm_wordnet_free(&w);
    if (cbm_context_status(cx) == CBM_OK && v->count < LABELS + NEAREST)
        cbm_fail(cx, CBM_ERROR_FORMAT, "[multi-modal] '%.200s' holds too few animals and artefacts", path);
    centre(v);
    return cbm_context_status(cx);
}

/* ---- pictures ---- */

/* Those of the labels that were, or were not, held out. */
static cbm_dataset *part_of(cbm_dataset *all, const cbm_recipe_settings *s, bool held_out)
{
    cbm_context *cx = cbm_dataset_context(all);
    int64_t count = cbm_dataset_count(all), kept = 0;
    int64_t *indices = malloc((size_t)count * sizeof *indices + 1);
    cbm_loader *loader = cbm_loader_open(all, .batch_size = 1000);
    if (!indices)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[multi-modal] no memory for the list of pictures");
    for (cbm_batch b; cbm_context_status(cx) == CBM_OK && cbm_next(loader, &b);) {
        const int64_t *is = cbm_tensor_data(b.target);
        for (int64_t i = 0; i < b.size && (s->limit <= 0 || kept < s->limit); i++)
            if (labels[is[i]].held_out == held_out)
                indices[kept++] = b.samples[i];
    }
    cbm_loader_close(loader);
    cbm_dataset *d = cbm_context_status(cx) == CBM_OK ? cbm_dataset_subset(all, indices, kept) : NULL;
    free(indices);
    return d;
}

/* ---- the network and its loss ---- */

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_network(cx, "resnet20", .classes = DIMENSIONS, .dtype = dtype);
}

static cbm_tensor *unit(cbm_tensor *x)
{
    cbm_tensor *squares = cbm_sum(cbm_square(x), .axes = CBM_SHAPE(1), .keepdim = true);
    return cbm_div(x, cbm_sqrt(cbm_add_scalar(squares, 1e-6)));
}

typedef struct teaching {
    const vocabulary *words;
    FILE *out;
    uint64_t state; /* of the choice of wrong words */
} teaching;

/* A word that is no label; the held-out ones are not to be met. */
static int64_t wrong_word(teaching *t)
{
    t->state = t->state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    return LABELS + (int64_t)((t->state >> 33) % (uint64_t)(t->words->count - LABELS));
}

/* The hinge rank loss: the sum over wrong words w of max(0, margin - cos(picture, its word) + cos(picture, w)), the other labels
   and WRONG more. */
static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)prediction;
    teaching *t = user;
    cbm_context *cx = net->cx;
    float right[LABELS][DIMENSIONS], wrong[WRONG][DIMENSIONS], seen[LABELS];
    for (int i = 0; i < LABELS; i++) {
        memcpy(right[i], t->words->vector[i], sizeof right[i]);
        seen[i] = labels[i].held_out ? 0 : 1;
    }
    for (int i = 0; i < WRONG; i++)
        memcpy(wrong[i], t->words->vector[wrong_word(t)], sizeof wrong[i]);
    cbm_tensor *place = unit(cbm_call(net, batch->input)); /* (N, D) */
    cbm_tensor *to_labels =
        cbm_matmul(place, cbm_transpose(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(LABELS, DIMENSIONS), right), 0, 1));
    cbm_tensor *to_wrong =
        cbm_matmul(place, cbm_transpose(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(WRONG, DIMENSIONS), wrong), 0, 1));
    cbm_tensor *is = cbm_one_hot(batch->target, LABELS, CBM_F32);
    cbm_tensor *own = cbm_sum(cbm_mul(to_labels, is), .axes = CBM_SHAPE(1), .keepdim = true);
    cbm_tensor *others =
        cbm_mul(cbm_relu(cbm_add_scalar(cbm_sub(to_labels, own), MARGIN)),
                cbm_mul(cbm_add_scalar(cbm_neg(is), 1), cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(LABELS), seen)));
    cbm_tensor *strangers = cbm_relu(cbm_add_scalar(cbm_sub(to_wrong, own), MARGIN));
    return cbm_add(cbm_mean(cbm_sum(others, .axes = CBM_SHAPE(1))), cbm_mean(cbm_sum(strangers, .axes = CBM_SHAPE(1))));
}

/* ---- measuring ---- */

typedef struct ranking {
    double rank[LABELS]; /* the mean over a label's pictures; 1 is best */
    int64_t pictures[LABELS];
    int64_t first[LABELS];          /* of them, those nearer to their own label than to the others of its group */
    float mean[LABELS][DIMENSIONS]; /* where they are taken to */
} ranking;

/* Of a word with a place, but for the place's length. */
static double cosine(const vocabulary *v, int64_t word, const float *place)
{
    double sum = 0;
    for (int k = 0; k < DIMENSIONS; k++)
        sum += (double)place[k] * (double)v->vector[word][k];
    return sum;
}

static void rank(const vocabulary *v, const float *place, int64_t label, ranking *r)
{
    double own = cosine(v, label, place);
    int64_t above = 0;
    bool first = true;
    for (int k = 0; k < DIMENSIONS; k++)
        r->mean[label][k] += place[k];
    for (int64_t i = 0; i < v->count; i++) {
        bool nearer = i != label && cosine(v, i, place) > own;
        above += nearer;
        first = first && !(nearer && i < LABELS && labels[i].held_out == labels[label].held_out);
    }
    r->rank[label] += (double)(above + 1);
    r->first[label] += first;
    r->pictures[label]++;
}

static void measure(cbm_module *net, cbm_dataset *pictures, const vocabulary *v, ranking *r)
{
    cbm_loader *loader = cbm_loader_open(pictures, .batch_size = BATCH);
    cbm_eval(net);
    for (cbm_batch b; cbm_next(loader, &b);) {
        CBM_NO_GRAD(scope, net->cx);
        const float *places = cbm_tensor_data(unit(cbm_call(net, b.input)));
        const int64_t *is = cbm_tensor_data(b.target);
        for (int64_t i = 0; places && is && i < b.size; i++)
            rank(v, places + i * DIMENSIONS, is[i], r);
    }
    cbm_loader_close(loader);
}

/* The words nearest to where a label's pictures are taken to. */
static void print_nearest(const vocabulary *v, const float *place, FILE *out)
{
    bool shown[WORDS] = { false };
    for (int n = 0; n < NEAREST; n++) {
        int64_t best = -1;
        double highest = -INFINITY;
        for (int64_t i = 0; i < v->count; i++) {
            double near = cosine(v, i, place);
            if (!shown[i] && near > highest) {
                highest = near;
                best = i;
            }
        }
        if (best >= 0) {
            shown[best] = true;
            fprintf(out, "%s%s", n ? ", " : "", v->word[best]);
        }
    }
    fputc('\n', out);
}

static void print(const vocabulary *v, ranking *r, const cbm_recipe_settings *s, FILE *out)
{
    double chance = (double)(v->count + 1) / 2, unseen = 0;
    int64_t held_out = 0;
    fprintf(
        out,
        "rank: of the label's word among all %lld; right: nearer to it than to the other labels seen, or never seen\n",
        (long long)v->count);
    fprintf(out, "%-10s %9s %9s %9s  %s\n", "label", "pictures", "rank", "right", "nearest words");
    for (int i = 0; i < LABELS; i++) {
        if (r->pictures[i] == 0)
            continue;
        r->rank[i] /= (double)r->pictures[i];
        unseen += labels[i].held_out ? r->rank[i] : 0;
        held_out += labels[i].held_out;
        fprintf(out, "%-10s %9lld %9.1f %7.1f %%  %s", labels[i].word, (long long)r->pictures[i], r->rank[i],
                100 * (double)r->first[i] / (double)r->pictures[i], labels[i].held_out ? "(never seen) " : "");
        print_nearest(v, r->mean[i], out);
    }
    if (held_out > 0)
        cbm_recipe_measure(s, chance / (unseen / (double)held_out), "times_better_than_chance");
    if (held_out > 0)
        fprintf(out, "labels never seen: mean rank %.1f of %lld words, %.1f times better than chance (%.1f)\n",
                unseen / (double)held_out, (long long)v->count, chance / (unseen / (double)held_out), chance);
}

static bool on_epoch(const cbm_epoch *e, void *user)
{
    const teaching *t = user;
    fprintf(t->out, "epoch %lld/%lld  training loss %.4f\n", (long long)e->epoch, (long long)e->epochs, e->train_loss);
    fflush(t->out);
    return true;
}

/* Data sets lie side by side. */
static void words_beside(const char *pictures, char *path, size_t room)
{
    const char *slash = strrchr(pictures, '/');
    snprintf(path, room, "%.*swordnet/data.noun", slash ? (int)(slash + 1 - pictures) : 0, pictures);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    char path[1100];
    cbm_seed(cx, s->seed);
    words_beside(s->data_dir ? s->data_dir : "data/cifar10", path, sizeof path);
    vocabulary *v = calloc(1, sizeof *v);
    ranking *r = calloc(1, sizeof *r);
    if (!v || !r)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[multi-modal] no memory for the words");
    FILE *words = cbm_context_status(cx) == CBM_OK ? fopen(path, "rb") : NULL;
    if (words)
        fclose(words);
    else if (cbm_context_status(cx) == CBM_OK)
        cbm_fail(cx, CBM_ERROR_IO, "[multi-modal] there is no %s. HINT: cambium data get wordnet", path);
    if (cbm_context_status(cx) == CBM_OK && read_words(cx, path, v) == CBM_OK) {
        teaching t = { .words = v, .out = out, .state = s->seed };
        cbm_module *net = model(cx, s->dtype);
        cbm_dataset *test = cbm_cifar_dataset(cx, s->data_dir, CBM_TEST);
        cbm_loader *train = cbm_loader_open(part_of(cbm_cifar_augmented(cx, s->data_dir), s, false), .seed = s->seed,
                                            .batch_size = s->batch_size, .shuffle = true, .workers = s->workers);
        cbm_optimizer *opt = cbm_sgd(net, .lr = s->lr, .momentum = 0.9, .weight_decay = 1e-4);
        int64_t steps = s->epochs * cbm_loader_batches(train);
        cbm_schedule *schedule = cbm_schedule_cosine(opt, .steps = steps, .warmup = steps / 20);
        fprintf(out, "%lld words\n", (long long)v->count);
        cbm_status status =
            cbm_fit(net, NULL, .optimizer = opt, .train = train, .schedule = schedule, .loss = loss, .loss_user = &t,
                    .epochs = s->epochs, .max_steps = s->max_steps, .on_epoch = on_epoch, .user = &t);
        if (cbm_recipe_ended(cx, s, status) == CBM_OK) {
            measure(net, part_of(test, s, false), v, r);
            measure(net, part_of(test, s, true), v, r);
            print(v, r, s, out);
        }
    }
    free(v);
    free(r);
    return cbm_context_status(cx);
}

const cbm_recipe cbm_recipe_multi_modal = {
    .name = "multi-modal",
    .summary = "pictures and words in one space: names cats and trucks without having seen any",
    .description =
        "A residual network takes pictures of eight of CIFAR-10's classes to the vectors of their words,\n"
        "which are made of WordNet, by a hinge rank loss (DeViSE). Pictures of the two classes never seen are\n"
        "taken there too, and the rank of their word among 2,000 is compared with chance. Needs the data sets\n"
        "cifar10 and wordnet.",
    .data = "cifar10",
    .epochs = 4,
    .batch_size = 128,
    .lr = 0.1,
    .input = { { 3, 3, 32, 32 } },
    .run = run,
};
