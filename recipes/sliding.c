/* sliding.c: a classifier of digits slides over large canvases: made fully convolutional, it gives scores for every place at once
   (Matan, Burges, LeCun and Denker 1992; Sermanet et al. 2014). It has an eleventh class, for windows in whose middle there is no
   digit; what it finds is compared with what was put there. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 28, /* of a digit, and of the classifier's window */
    PIXELS = SIDE * SIDE,
    CLASSES = 11,
    NOTHING = 10,
    STRIDE = 4, /* of the map: two poolings */
    PATCH = 84, /* canvases that training windows are cut from */
    CANVAS = 140,
    CANVASES = 100, /* of the test */
    PLACES = (CANVAS - SIDE) / STRIDE + 1,
    MOST = 12,      /* digits on a canvas */
    APART = 22,     /* pixels between digits' corners, along one axis at least */
    STEPS = 1500,   /* an epoch */
    DIGITS = 20000, /* that are read of each split, at most */
    CLOSE = 6,      /* a find this near is that digit */
    ZOOM = 5        /* of the picture */
};
static const double SURE = 0.9;      /* that there is a digit */
static const float EMPTY = -0.4242f; /* a black pixel, normalised */

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 16, 5, .dtype = dtype), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_conv2d(cx, 16, 32, 5, .dtype = dtype), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_flatten(cx), cbm_nn_linear(cx, 512, 128, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_dropout(cx, 0.3), cbm_nn_linear(cx, 128, CLASSES, .dtype = dtype), CBM_END);
}

/* ---- random numbers, the same on every machine ---- */

typedef struct dice {
    uint64_t state;
} dice;

static int64_t roll(dice *d, int64_t n)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (int64_t)((z ^ z >> 31) % (uint64_t)n);
}

/* ---- digits, and canvases of them ---- */

typedef struct digits {
    float *pixels; /* PIXELS each, normalised */
    int64_t *labels;
    int64_t count;
} digits;

static void free_digits(digits *d)
{
    free(d->pixels);
    free(d->labels);
}

static cbm_status read_digits(cbm_context *cx, const cbm_recipe_settings *s, cbm_split split, digits *d)
{
    const int64_t most = s->limit > 0 && s->limit < DIGITS ? s->limit : DIGITS;
    cbm_dataset *all = cbm_digits_dataset(cx, s->data_dir, split);
    *d = (digits){ malloc((size_t)most * PIXELS * sizeof(float)), malloc((size_t)most * sizeof(int64_t)), 0 };
    if (!d->pixels || !d->labels)
        return cbm_fail(cx, CBM_ERROR_MEMORY, "[sliding] no memory for the digits");
    cbm_loader *loader = cbm_loader_open(all, .batch_size = 1000);
    for (cbm_batch b; d->count < most && cbm_next(loader, &b);) {
        CBM_SCOPE(scope, cx);
        const int64_t left = most - d->count,
                      n = cbm_tensor_size(b.input, 0) < left ? cbm_tensor_size(b.input, 0) : left;
        const float *x = cbm_tensor_data(b.input);
        const int64_t *y = cbm_tensor_data(cbm_cast(b.target, CBM_I64));
        if (!x || !y)
            break;
        memcpy(d->pixels + d->count * PIXELS, x, (size_t)n * PIXELS * sizeof *x);
        memcpy(d->labels + d->count, y, (size_t)n * sizeof *y);
        d->count += n;
    }
    return cbm_context_status(cx);
}

typedef struct placed {
    int64_t x, y, label; /* corner */
} placed;

typedef struct canvas {
    float pixels[CANVAS * CANVAS]; /* side by side */
    int64_t side, count;
    placed at[MOST];
} canvas;

static bool is_free(const canvas *c, int64_t x, int64_t y)
{
    for (int64_t i = 0; i < c->count; i++)
        if (llabs(c->at[i].x - x) < APART && llabs(c->at[i].y - y) < APART)
            return false;
    return true;
}

/* Up to `most` digits, one at least, at random places; where two meet the brighter pixel stays. */
static void fill_canvas(canvas *c, int64_t side, int64_t most, const digits *from, dice *d)
{
    c->side = side;
    c->count = 0;
    for (int64_t i = 0; i < side * side; i++)
        c->pixels[i] = EMPTY;
    for (int64_t tries = 0; tries < 8 * most && c->count < most; tries++) {
        const int64_t x = roll(d, side - SIDE + 1), y = roll(d, side - SIDE + 1), which = roll(d, from->count);
        if (!is_free(c, x, y))
            continue;
        c->at[c->count++] = (placed){ x, y, from->labels[which] };
        for (int64_t i = 0; i < PIXELS; i++) {
            float *to = &c->pixels[(y + i / SIDE) * side + x + i % SIDE];
            const float p = from->pixels[which * PIXELS + i];
            *to = p > *to ? p : *to;
        }
    }
}

/* ---- training: windows of small canvases ---- */

static void cut(const canvas *c, int64_t x, int64_t y, float *to)
{
    for (int64_t row = 0; row < SIDE; row++)
        memcpy(to + row * SIDE, &c->pixels[(y + row) * c->side + x], SIDE * sizeof *to);
}

static int64_t within(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

/* A window with a digit in its middle, but for half a step of the map, or one that has none there. */
static int64_t window(canvas *c, const digits *from, dice *d, float *to)
{
    const int64_t most = PATCH - SIDE;
    fill_canvas(c, PATCH, 1 + roll(d, 6), from, d);
    if (roll(d, 2)) {
        const placed *p = &c->at[roll(d, c->count)];
        cut(c, within(p->x + roll(d, STRIDE + 1) - STRIDE / 2, most),
            within(p->y + roll(d, STRIDE + 1) - STRIDE / 2, most), to);
        return p->label;
    }
    while (true) {
        const placed *p = &c->at[roll(d, c->count)]; /* near one as often as anywhere */
        const bool near = roll(d, 2);
        const int64_t x = near ? within(p->x + roll(d, 41) - 20, most) : roll(d, most + 1);
        const int64_t y = near ? within(p->y + roll(d, 41) - 20, most) : roll(d, most + 1);
        bool clear = true;
        for (int64_t i = 0; i < c->count; i++)
            clear = clear && (llabs(c->at[i].x - x) >= CLOSE || llabs(c->at[i].y - y) >= CLOSE);
        if (!clear)
            continue;
        cut(c, x, y, to);
        return NOTHING;
    }
}

static cbm_status train(cbm_module *net, const cbm_recipe_settings *s, const digits *from, FILE *out)
{
    cbm_context *cx = net->cx;
    const int64_t n = s->batch_size, steps = s->max_steps > 0 ? s->max_steps : STEPS * s->epochs;
    cbm_optimizer *opt = cbm_adam(net, .lr = s->lr);
    cbm_schedule *schedule = cbm_schedule_cosine(opt, .steps = steps, .warmup = steps / 20);
    float *x = malloc((size_t)n * PIXELS * sizeof *x);
    int64_t *y = malloc((size_t)n * sizeof *y);
    canvas *patch = malloc(sizeof *patch);
    dice d = { s->seed };
    double mean = 0;
    if (!x || !y || !patch)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[sliding] no memory for a batch");
    for (int64_t step = 1; step <= steps && cbm_context_status(cx) == CBM_OK; step++) {
        CBM_SCOPE(scope, cx);
        for (int64_t i = 0; i < n; i++)
            y[i] = window(patch, from, &d, x + i * PIXELS);
        cbm_tensor *input = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(n, 1, SIDE, SIDE), x);
        cbm_tensor *loss = cbm_cross_entropy(cbm_call(net, input), cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(n), y));
        cbm_backward(loss);
        cbm_step(opt);
        cbm_schedule_next(schedule);
        mean += cbm_item(loss);
        if (step % 250 == 0 || step == steps) {
            const int64_t since = step % 250 ? step % 250 : 250;
            fprintf(out, "step %lld/%lld  training loss %.4f\n", (long long)step, (long long)steps,
                    mean / (double)since);
            fflush(out);
            mean = 0;
        }
    }
    free(x);
    free(y);
    free(patch);
    return cbm_context_status(cx);
}

/* ---- finding ---- */

typedef struct find {
    int64_t x, y, label; /* corner of the window */
    double sure;
} find;

/* Of places that are surely digits the surest, then the surest of those not within half a window of it, and so on. */
static int64_t find_digits(const float *p, find *finds)
{
    bool gone[PLACES * PLACES] = { false };
    int64_t count = 0;
    while (count < 4 * MOST) {
        int64_t best = -1;
        for (int64_t i = 0; i < PLACES * PLACES; i++)
            if (!gone[i] && 1 - p[NOTHING * PLACES * PLACES + i] >= SURE &&
                (best < 0 || p[NOTHING * PLACES * PLACES + i] < p[NOTHING * PLACES * PLACES + best]))
                best = i;
        if (best < 0)
            break;
        find *f = &finds[count++];
        *f = (find){ best % PLACES * STRIDE, best / PLACES * STRIDE, 0,
                     1 - (double)p[NOTHING * PLACES * PLACES + best] };
        for (int64_t k = 1; k < NOTHING; k++)
            f->label = p[k * PLACES * PLACES + best] > p[f->label * PLACES * PLACES + best] ? k : f->label;
        for (int64_t i = 0; i < PLACES * PLACES; i++)
            gone[i] = gone[i] ||
                      (llabs(i % PLACES * STRIDE - f->x) <= SIDE / 2 && llabs(i / PLACES * STRIDE - f->y) <= SIDE / 2);
    }
    return count;
}

typedef struct tally {
    int64_t there, found, misread, wrong; /* wrong: finds where no digit is */
} tally;

static void compare(const canvas *c, const find *finds, int64_t count, tally *t)
{
    bool used[4 * MOST] = { false };
    t->there += c->count;
    for (int64_t i = 0; i < c->count; i++) {
        int64_t hit = -1;
        for (int64_t k = 0; k < count && hit < 0; k++)
            if (!used[k] && llabs(finds[k].x - c->at[i].x) <= CLOSE && llabs(finds[k].y - c->at[i].y) <= CLOSE)
                hit = k;
        if (hit < 0)
            continue;
        used[hit] = true;
        t->found += finds[hit].label == c->at[i].label;
        t->misread += finds[hit].label != c->at[i].label;
    }
    for (int64_t k = 0; k < count; k++)
        t->wrong += !used[k];
}

/* ---- the picture: the canvas in grey, how sure the network is in red, frames around what it finds ---- */

static void frame(cbm_image *image, const find *f)
{
    const int64_t x = f->x * ZOOM, y = f->y * ZOOM, side = SIDE * ZOOM;
    for (int64_t i = 0; i < side; i++)
        for (int64_t k = 0; k < 2; k++) {
            const int64_t at[4][2] = {
                { x + i, y + k }, { x + i, y + side - 1 - k }, { x + k, y + i }, { x + side - 1 - k, y + i }
            };
            for (int e = 0; e < 4; e++)
                memcpy(image->pixels + 3 * (at[e][1] * image->width + at[e][0]), "\x40\xe0\x60", 3);
        }
}

static cbm_status draw(cbm_context *cx, const canvas *c, const float *p, const find *finds, int64_t count,
                       const char *run_dir, FILE *out)
{
    cbm_image image;
    if (!cbm_recipe_image(cx, "sliding", CANVAS * ZOOM, CANVAS * ZOOM, 3, &image))
        return cbm_context_status(cx);
    for (int64_t i = 0; i < image.width * image.height; i++) {
        const int64_t x = i % image.width / ZOOM, y = i / image.width / ZOOM;
        const double grey = 255 * (0.1307 + 0.3081 * (double)c->pixels[y * CANVAS + x]);
        /* the place whose window has its middle here; near the edge there is none */
        const int64_t left = x - SIDE / 2 + STRIDE / 2, above = y - SIDE / 2 + STRIDE / 2;
        const bool seen = left >= 0 && above >= 0 && left / STRIDE < PLACES && above / STRIDE < PLACES;
        const int64_t place = above / STRIDE * PLACES + left / STRIDE;
        const double heat = seen ? 1 - (double)p[NOTHING * PLACES * PLACES + place] : 0;
        uint8_t *pixel = image.pixels + 3 * i;
        pixel[0] = (uint8_t)within((int64_t)(grey + 150 * heat), 255);
        pixel[1] = pixel[2] = (uint8_t)within((int64_t)grey, 255);
    }
    for (int64_t i = 0; i < count; i++)
        frame(&image, &finds[i]);
    const cbm_frame frame = { .title = "Where a digit is seen (red), and what is found" };
    return cbm_recipe_keep_image(cx, "sliding", &image, &frame, run_dir, "heat-map.png", out);
}

/* ---- the course ---- */

static void total(const cbm_summary_row *row, void *user)
{
    if (!row->name[0])
        *(double *)user = row->flops;
}

static cbm_status test(cbm_module *net, const cbm_recipe_settings *s, const digits *from, FILE *out)
{
    cbm_context *cx = net->cx;
    cbm_module *sliding = cbm_convolutionalize(net, CBM_SHAPE(1, SIDE, SIDE));
    canvas *c = malloc(sizeof *c);
    dice d = { s->seed + 1 };
    tally t = { 0 };
    double whole = 0, one = 0;
    if (!c)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[sliding] no memory for a canvas");
    for (int64_t i = 0; i < CANVASES && cbm_context_status(cx) == CBM_OK; i++) {
        CBM_NO_GRAD(scope, cx);
        fill_canvas(c, CANVAS, MOST, from, &d);
        cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1, CANVAS, CANVAS), c->pixels);
        const float *p = cbm_tensor_data(cbm_softmax(cbm_call(sliding, x), 1));
        find finds[4 * MOST];
        if (!p)
            break;
        const int64_t count = find_digits(p, finds);
        compare(c, finds, count, &t);
        if (i == 0 && s->run_dir)
            draw(cx, c, p, finds, count, s->run_dir, out);
        if (i == 0) {
            cbm_summary(sliding, x, total, &whole);
            cbm_summary(net, cbm_zeros(cx, CBM_F32, CBM_SHAPE(1, 1, SIDE, SIDE)), total, &one);
        }
    }
    free(c);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    fprintf(out,
            "%lld canvases of %dx%d with %lld test digits: %.1f %% found and read, %.1f %% misread, %.2f false finds a "
            "canvas\n",
            (long long)CANVASES, CANVAS, CANVAS, (long long)t.there, 100.0 * (double)t.found / (double)t.there,
            100.0 * (double)t.misread / (double)t.there, (double)t.wrong / CANVASES);
    cbm_recipe_measure(s, (double)t.found / (double)t.there, "found");
    cbm_recipe_measure(s, (double)t.misread / (double)t.there, "misread");
    cbm_recipe_measure(s, (double)t.wrong / CANVASES, "false_finds_a_canvas");
    fprintf(out, "%d windows at once take %.1f times the operations of one, %.1f times fewer than one by one\n",
            PLACES * PLACES, whole / one, one * PLACES * PLACES / whole);
    return CBM_OK;
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    digits training = { 0 }, testing = { 0 };
    cbm_seed(cx, s->seed);
    cbm_module *net = model(cx, s->dtype);
    cbm_status status = read_digits(cx, s, CBM_TRAIN, &training);
    status = status == CBM_OK ? read_digits(cx, s, CBM_TEST, &testing) : status;
    status = status == CBM_OK ? train(net, s, &training, out) : status;
    status = status == CBM_OK ? test(net, s, &testing, out) : status;
    free_digits(&training);
    free_digits(&testing);
    return status;
}

const cbm_recipe cbm_recipe_sliding = {
    .name = "sliding",
    .summary = "a classifier of digits, made fully convolutional, finds digits on large canvases",
    .description = "A small convolutional network learns to tell windows of 28x28 with a digit in their middle, and\n"
                   "which, from windows without. Its linear layers become convolutions (cbm_convolutionalize), and it\n"
                   "gives a map of scores of canvases of 140x140, on which test digits lie at random: 841 windows at\n"
                   "once. What it finds is counted; heat-map.png shows how sure it is where, and frames what it found.",
    .data = "mnist",
    .epochs = 1,
    .batch_size = 128,
    .lr = 0.002,
    .input = { { 3, 1, 28, 28 } },
    .classes = CLASSES,
    .model = model,
    .run = run,
};
