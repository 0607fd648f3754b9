/* scene_labeling.c: a class for each pixel, by a small convolutional network that sees the picture and what it said a step
   before: a graph with a cycle, unrolled. Each unrolling lets it see farther. After Pinheiro and Collobert, "Recurrent
   convolutional neural networks for scene labeling" (2014); on scenes made here, whose labels are exact. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 40
#define PIXELS (SIDE * SIDE)
#define TRAIN_SCENES 800
#define TEST_SCENES 200
#define SHAPES 3 /* of a scene */
#define STEPS 4
#define WIDTH 24
#define SHOWN 6
#define ZOOM 2
#define GAP 2

enum { GROUND, DISC, SQUARE, DOT, CLASSES };
static const char *const names[] = { "ground", "disc", "square", "dot", NULL };
static const uint8_t colours[CLASSES][3] = { { 40, 40, 40 }, { 230, 90, 30 }, { 50, 110, 230 }, { 60, 180, 90 } };

/* ---- scenes: shapes of one brightness under noise; what a pixel belongs to is seen at the shape's edge alone ---- */

/* SplitMix64 (Steele, Lea and Flood 2014): uniform in [low, high). */
static double uniform(uint64_t *state, double low, double high)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return low + (high - low) * (double)((z ^ z >> 31) >> 11) / (double)(INT64_C(1) << 53);
}

static bool inside(int class, double x, double y, double size)
{
    return class == SQUARE ? fabs(x) <= size && fabs(y) <= size : x * x + y * y <= size * size;
}

static void make_scene(uint64_t seed, float *pixels, int64_t *labels)
{
    uint64_t state = seed;
    memset(labels, 0, PIXELS * sizeof *labels);
    for (int k = 0; k < SHAPES; k++) {
        int class = DISC + (int)uniform(&state, 0, CLASSES - DISC);
        double size = class == DOT    ? uniform(&state, 3, 4.5)
                      : class == DISC ? uniform(&state, 8, 11)
                                      : uniform(&state, 7, 10);
        double x = uniform(&state, size, SIDE - size), y = uniform(&state, size, SIDE - size);
        for (int i = 0; i < PIXELS; i++)
            if (inside(class, i % SIDE - x, i / SIDE - y, size + 1.5)) /* a margin of ground around each */
                labels[i] = inside(class, i % SIDE - x, i / SIDE - y, size) ? class : GROUND;
    }
    for (int i = 0; i < PIXELS; i++)
        pixels[i] = (float)((labels[i] != GROUND ? 1 : 0) + uniform(&state, -0.6, 0.6));
}

static cbm_dataset *scenes(cbm_context *cx, int64_t count, uint64_t seed)
{
    float *pixels = malloc((size_t)count * PIXELS * sizeof *pixels);
    int64_t *labels = malloc((size_t)count * PIXELS * sizeof *labels);
    cbm_dataset *d = NULL;
    CBM_SCOPE(scope, cx);
    if (!pixels || !labels)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[scene-labeling] no memory for the scenes");
    for (int64_t i = 0; i < count && pixels && labels; i++)
        make_scene(seed << 32 | (uint64_t)i, pixels + i * PIXELS, labels + i * PIXELS);
    if (cbm_context_status(cx) == CBM_OK)
        d = cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(count, 1, SIDE, SIDE), pixels),
                                cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(count, SIDE, SIDE), labels));
    free(pixels);
    free(labels);
    return d;
}

/* ---- the network ---- */

/* The picture and the scores of the step before make new scores; one step sees 9 x 9 pixels. */
static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    const cbm_shape same = CBM_SHAPE(2, 2);
    const cbm_graph_node nodes[] = {
        { .name = "scores",
          .inputs = { "picture", "prev:scores" },
          .initial = "before",
          .join = CBM_JOIN_CONCAT,
          .module = cbm_sequential(cx, cbm_nn_conv2d(cx, 1 + CLASSES, WIDTH, 5, .padding = same, .dtype = dtype),
                                   cbm_nn_relu(cx), cbm_nn_conv2d(cx, WIDTH, WIDTH, 5, .padding = same, .dtype = dtype),
                                   cbm_nn_relu(cx), cbm_nn_conv2d(cx, WIDTH, CLASSES, 1, .dtype = dtype), CBM_END) },
    };
    static const char *const inputs[] = { "picture", "before", NULL };
    return cbm_graph(cx, nodes, 1, .inputs = inputs, .steps = STEPS);
}

/* The scores (N, CLASSES, SIDE, SIDE) of each step; before the first they are 0. */
static cbm_status scores_of(cbm_module *net, cbm_tensor *pictures, cbm_tensor *steps[STEPS])
{
    cbm_tensor *last,
        *in[] = { pictures, cbm_zeros(net->cx, CBM_F32, CBM_SHAPE(cbm_tensor_size(pictures, 0), CLASSES, SIDE, SIDE)) };
    return cbm_graph_call(net, in, 2, &last, steps);
}

/* The cross entropy of every step counts: each is to be as good as it can. */
static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)prediction;
    (void)user;
    cbm_tensor *steps[STEPS], *sum = NULL;
    scores_of(net, batch->input, steps);
    for (int i = 0; i < STEPS && cbm_context_status(net->cx) == CBM_OK; i++) {
        cbm_tensor *one = cbm_cross_entropy(steps[i], batch->target);
        sum = sum ? cbm_add(sum, one) : one;
    }
    return sum;
}

/* ---- measuring: intersection over union ---- */

typedef struct overlap {
    int64_t both[CLASSES], either[CLASSES];
} overlap;

static double mean_of(const overlap *o)
{
    double sum = 0;
    for (int c = 0; c < CLASSES; c++)
        sum += o->either[c] ? (double)o->both[c] / (double)o->either[c] / CLASSES : 1.0 / CLASSES;
    return sum;
}

static void count(const int64_t *said, const int64_t *is, int64_t n, overlap *o)
{
    for (int64_t i = 0; i < n; i++)
        if (said[i] == is[i])
            o->both[is[i]]++, o->either[is[i]]++;
        else
            o->either[is[i]]++, o->either[said[i]]++;
}

static const int64_t *classes_of(cbm_tensor *scores)
{
    return cbm_tensor_data(cbm_argmax(scores, .axes = CBM_SHAPE(1)));
}

static void measure(cbm_module *net, cbm_dataset *test, overlap found[STEPS])
{
    cbm_loader *loader = cbm_loader_open(test, .batch_size = 50);
    for (cbm_batch b; cbm_next(loader, &b);) {
        CBM_NO_GRAD(scope, net->cx);
        cbm_tensor *steps[STEPS];
        if (scores_of(net, b.input, steps) != CBM_OK)
            break;
        const int64_t *is = cbm_tensor_data(b.target);
        for (int i = 0; i < STEPS; i++) {
            const int64_t *said = classes_of(steps[i]);
            if (said && is)
                count(said, is, b.size * PIXELS, &found[i]);
        }
    }
    cbm_loader_close(loader);
}

/* ---- the picture: a row a scene: itself, its labels, what each step says ---- */

static void put(cbm_image *image, int64_t row, int64_t column, const float *pixels, const int64_t *labels)
{
    for (int64_t y = 0; y < SIDE * ZOOM; y++)
        for (int64_t x = 0; x < SIDE * ZOOM; x++) {
            int64_t from = y / ZOOM * SIDE + x / ZOOM;
            uint8_t *to =
                image->pixels + ((row * (SIDE * ZOOM + GAP) + y) * image->width + column * (SIDE * ZOOM + GAP) + x) * 3;
            double grey = pixels ? 255 * ((double)pixels[from] + 0.6) / 2.2 : 0;
            for (int c = 0; c < 3; c++)
                to[c] = pixels ? (uint8_t)grey : colours[labels[from]][c];
        }
}

static cbm_status draw(cbm_module *net, cbm_dataset *test, const char *run_dir, FILE *out)
{
    cbm_context *cx = net->cx;
    cbm_image image;
    cbm_batch b;
    cbm_loader *loader = cbm_loader_open(test, .batch_size = SHOWN);
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *steps[STEPS];
    if (!cbm_next(loader, &b) || scores_of(net, b.input, steps) != CBM_OK ||
        !cbm_recipe_image(cx, "scene-labeling", (2 + STEPS) * (SIDE * ZOOM + GAP) - GAP,
                          b.size * (SIDE * ZOOM + GAP) - GAP, 3, &image))
        return cbm_context_status(cx);
    const float *pixels = cbm_tensor_data(b.input);
    const int64_t *is = cbm_tensor_data(b.target);
    for (int64_t s = 0; s < b.size; s++) {
        put(&image, s, 0, pixels + s * PIXELS, NULL);
        put(&image, s, 1, NULL, is + s * PIXELS);
    }
    for (int i = 0; i < STEPS; i++) {
        const int64_t *said = classes_of(steps[i]);
        for (int64_t s = 0; said && s < b.size; s++)
            put(&image, s, 2 + i, NULL, said + s * PIXELS);
    }
    cbm_loader_close(loader);
    static const char *const columns[2 + STEPS] = { "scene",      "labels",     "unrolled 1",
                                                    "unrolled 2", "unrolled 3", "unrolled 4" };
    const cbm_frame frame = { .title = "Each unrolling sees farther", .columns = columns, .column_count = 2 + STEPS };
    return cbm_recipe_keep_image(cx, "scene-labeling", &image, &frame, run_dir, "scenes.png", out);
}

static bool on_epoch(const cbm_epoch *e, void *user)
{
    fprintf(user, "epoch %lld/%lld  training loss of all steps %.4f\n", (long long)e->epoch, (long long)e->epochs,
            e->train_loss);
    fflush(user);
    return true;
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    int64_t limit = s->limit > 0 ? s->limit : TRAIN_SCENES;
    cbm_seed(cx, s->seed);
    cbm_dataset *train = scenes(cx, limit, 2 * s->seed + 1),
                *test = scenes(cx, limit < TEST_SCENES ? limit : TEST_SCENES, 2 * s->seed);
    cbm_module *net = model(cx, CBM_F32);
    cbm_optimizer *opt = cbm_adam(net, .lr = s->lr);
    cbm_loader *loader = cbm_loader_open(train, .batch_size = s->batch_size, .shuffle = true, .seed = s->seed);
    cbm_schedule *schedule = cbm_schedule_cosine(opt, .steps = s->epochs * cbm_loader_batches(loader));
    cbm_status status = cbm_fit(net, NULL, .optimizer = opt, .train = loader, .schedule = schedule, .loss = loss,
                                .epochs = s->epochs, .max_steps = s->max_steps, .on_epoch = on_epoch, .user = out);
    if (cbm_recipe_ended(cx, s, status) != CBM_OK)
        return cbm_context_status(cx);
    overlap found[STEPS] = { { { 0 }, { 0 } } };
    measure(net, test, found);
    for (int i = 0; i < STEPS && cbm_context_status(cx) == CBM_OK; i++) {
        fprintf(out, "unrolled %d: sees %2d x %2d, mean IoU %.3f ", i + 1, 8 * (i + 1) + 1, 8 * (i + 1) + 1,
                mean_of(&found[i]));
        for (int c = 0; c < CLASSES; c++)
            fprintf(out, "  %s %.3f", names[c],
                    found[i].either[c] ? (double)found[i].both[c] / (double)found[i].either[c] : 1);
        fputc('\n', out);
        cbm_recipe_measure(s, mean_of(&found[i]), "mean_iou_unrolled_%d", i + 1);
    }
    return s->run_dir && cbm_context_status(cx) == CBM_OK ? draw(net, test, s->run_dir, out) : cbm_context_status(cx);
}

const cbm_recipe cbm_recipe_scene_labeling = {
    .name = "scene-labeling",
    .summary = "a class for each pixel by a recurrent convolutional network; each unrolling sees farther",
    .description =
        "Discs, squares and dots of one brightness under noise: what a pixel belongs to is decided by an edge\n"
        "far away. A network that sees 9x9 pixels and its own scores of a step before is a graph with a\n"
        "cycle, unrolled four times; the mean intersection over union is measured after each step, and drawn\n"
        "are the scenes, their labels and what each step says. Scenes are made here, so that labels are\n"
        "exact.",
    .epochs = 20,
    .batch_size = 10,
    .lr = 0.003,
    .input = { { 3, 1, SIDE, SIDE } },
    .run = run,
};
