/* finetune.c: what a network that has learned to see five kinds of things brings to five other kinds of which there are few
   pictures: frozen features, fine-tuning, and training from scratch, side by side. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 5
#define PART 0.05 /* of the target's training pictures */
#define PIXELS (3 * 32 * 32)
#define PADDING 4
#define BEFORE_EPOCHS 8 /* of the training before; settings->epochs are those behind it */
#define BEFORE_BATCH 128
#define FINE 0.2           /* of the learning rate, for fine-tuning */
#define FEATURES_RATE 0.01 /* AdamW's, for the layer on frozen features */
#define FEATURES_DECAY 0.1
#define MOST_EPOCHS 400

/* Animals and vehicles in both. */
static const int64_t source[CLASSES] = { 1, 2, 3, 4, 8 }; /* automobile, bird, cat, deer, ship */
static const int64_t target[CLASSES] = { 0, 5, 6, 7, 9 }; /* airplane, dog, frog, horse, truck */

/* ImageNet's, as in cifar.c. */
static const double mean[] = { 0.485, 0.456, 0.406 }, deviation[] = { 0.229, 0.224, 0.225 };

/* ---- data ---- */

/* The pictures of five classes, numbered 0 to 4, as bytes: the first `part` of them. */
static cbm_dataset *pictures_of(cbm_context *cx, const cbm_recipe_settings *s, cbm_split split, const int64_t *classes,
                                double part)
{
    cbm_dataset *all = cbm_cifar10(cx, s->data_dir ? s->data_dir : "data/cifar10", split, .normalise = false);
    int64_t count = cbm_dataset_count(all), kept = 0;
    uint8_t *pixels = malloc((size_t)count * PIXELS + 1);
    int64_t *labels = malloc((size_t)count * sizeof *labels + 1);
    cbm_loader *loader = cbm_loader_open(all, .batch_size = 1000);
    if (!pixels || !labels)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[finetune] no memory for the pictures");
    for (cbm_batch b; cbm_context_status(cx) == CBM_OK && cbm_next(loader, &b);) {
        const uint8_t *from = cbm_tensor_data(b.input);
        const int64_t *is = cbm_tensor_data(b.target);
        for (int64_t i = 0; i < b.size; i++)
            for (int64_t k = 0; k < CLASSES; k++)
                if (is[i] == classes[k]) {
                    memcpy(pixels + kept * PIXELS, from + i * PIXELS, PIXELS);
                    labels[kept++] = k;
                }
    }
    cbm_loader_close(loader);
    kept = (int64_t)ceil(part * (double)kept);
    if (s->limit > 0 && s->limit < kept)
        kept = s->limit;
    CBM_SCOPE(scope, cx);
    cbm_dataset *d = NULL;
    if (cbm_context_status(cx) == CBM_OK)
        d = cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_U8, CBM_SHAPE(kept, 3, 32, 32), pixels),
                                cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(kept), labels));
    free(pixels);
    free(labels);
    return d;
}

static cbm_dataset *plain(cbm_dataset *bytes)
{
    return cbm_dataset_transform(bytes, cbm_normalize(3, mean, deviation));
}

static cbm_dataset *augmented(cbm_dataset *bytes)
{
    return cbm_dataset_transform(bytes, cbm_random_crop(PADDING), cbm_random_flip(), cbm_normalize(3, mean, deviation));
}

/* ---- networks ---- */

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_network(cx, "resnet20", .classes = CLASSES, .dtype = dtype);
}

/* All that from has learned but its last layer. */
static cbm_status take_over(cbm_module *to, cbm_module *from)
{
    cbm_named a, b;
    for (size_t i = 0; cbm_state_at(to, i, &a) && cbm_state_at(from, i, &b); i++)
        if (strncmp(a.name, "linear.", 7) != 0)
            cbm_assign(a.tensor, b.tensor);
    return cbm_context_status(to->cx);
}

/* What its three stages give: (N, 16, 32, 32), (N, 32, 16, 16), (N, 64, 8, 8). */
enum { STAGES = 3, CELLS = 2, WIDTH = (16 + 32 + 64) * CELLS * CELLS };

static void find_stages(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    static const char *const names[STAGES] = { "layer1", "layer2", "layer3" };
    cbm_tensor **stages = user;
    (void)m;
    (void)input;
    for (int i = 0; i < STAGES; i++)
        if (strcmp(name, names[i]) == 0)
            stages[i] = output;
}

/* The means of each feature map of all stages in quarters of the picture: what the first stages see serves other things than those
   that the last one was made for. (N, WIDTH) */
static cbm_tensor *frozen_features(cbm_module *net, cbm_tensor *pictures)
{
    cbm_tensor *stages[STAGES] = { NULL }, *means[STAGES];
    cbm_call_watched(net, pictures, find_stages, stages);
    for (int i = 0; i < STAGES; i++)
        means[i] = cbm_flatten(cbm_adaptive_avg_pool2d(stages[i], CBM_SHAPE(CELLS, CELLS)), 1);
    return cbm_concat(means, STAGES, 1);
}

static cbm_dataset *features_of(cbm_module *net, cbm_dataset *pictures)
{
    cbm_context *cx = net->cx;
    int64_t count = cbm_dataset_count(pictures), done = 0;
    float *values = malloc((size_t)count * WIDTH * sizeof *values + 1);
    int64_t *labels = malloc((size_t)count * sizeof *labels + 1);
    cbm_loader *loader = cbm_loader_open(pictures, .batch_size = 500);
    cbm_eval(net);
    if (!values || !labels)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[finetune] no memory for features");
    for (cbm_batch b; cbm_context_status(cx) == CBM_OK && cbm_next(loader, &b); done += b.size) {
        CBM_NO_GRAD(scope, cx);
        cbm_read(frozen_features(net, b.input), values + done * WIDTH, (size_t)(b.size * WIDTH) * sizeof *values);
        cbm_read(b.target, labels + done, (size_t)b.size * sizeof *labels);
    }
    cbm_loader_close(loader);
    CBM_SCOPE(scope, cx);
    cbm_dataset *d = NULL;
    if (cbm_context_status(cx) == CBM_OK)
        d = cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(count, WIDTH), values),
                                cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(count), labels));
    free(values);
    free(labels);
    return d;
}

/* ---- a course, its test accuracy noted after each epoch ---- */

typedef struct course {
    const char *name;
    double epoch[MOST_EPOCHS], accuracy[MOST_EPOCHS]; /* in percent */
    int64_t epochs;
    FILE *out;
} course;

static bool on_epoch(const cbm_epoch *e, void *user)
{
    course *c = user;
    if (c->epochs < MOST_EPOCHS) {
        c->epoch[c->epochs] = (double)e->epoch;
        c->accuracy[c->epochs++] = 100 * (1 - e->validation_error);
    }
    fprintf(c->out, "%s: epoch %lld/%lld  training error %.1f %%  test accuracy %.2f %%\n", c->name,
            (long long)e->epoch, (long long)e->epochs, 100 * e->train_error, 100 * (1 - e->validation_error));
    fflush(c->out);
    return true;
}

static cbm_status train(cbm_module *net, cbm_optimizer *opt, cbm_dataset *data, cbm_dataset *test, int64_t batch_size,
                        int64_t epochs, const cbm_recipe_settings *s, course *c)
{
    cbm_loader *train =
        cbm_loader_open(data, .batch_size = batch_size, .shuffle = true, .workers = s->workers, .seed = s->seed);
    cbm_loader *validation = cbm_loader_open(test, .batch_size = 1000);
    int64_t steps = epochs * cbm_loader_batches(train);
    cbm_schedule *schedule = cbm_schedule_cosine(opt, .steps = steps, .warmup = steps / 20);
    cbm_status status =
        cbm_fit(net, NULL, .optimizer = opt, .train = train, .validation = validation, .schedule = schedule,
                .epochs = epochs, .max_steps = s->max_steps, .on_epoch = on_epoch, .user = c);
    status = cbm_recipe_ended(net->cx, s, status);
    cbm_evaluation e = { .accuracy = NAN };
    if (status == CBM_OK && c->epochs == 0 && cbm_evaluate(net, validation, NULL, NULL, &e) == CBM_OK)
        c->accuracy[c->epochs++] = 100 * e.accuracy; /* the steps were over before an epoch was */
    cbm_optimizer_release(opt);
    cbm_loader_close(train);
    cbm_loader_close(validation);
    return status;
}

static cbm_optimizer *descent(cbm_module *net, double lr)
{
    return cbm_sgd(net, .lr = lr, .momentum = 0.9, .weight_decay = 5e-4);
}

/* ---- the three of them ---- */

static cbm_status draw(cbm_context *cx, const course *courses, int count, const char *run_dir, FILE *out)
{
    cbm_series series[3];
    for (int i = 0; i < count; i++)
        series[i] = (cbm_series){ .label = courses[i].name,
                                  .x = courses[i].epoch,
                                  .y = courses[i].accuracy,
                                  .count = (size_t)courses[i].epochs,
                                  .color = CBM_COLOR_AUTO };
    const cbm_panel panel = { .x_label = "epoch",
                              .y_label = "test accuracy (%)",
                              .series = series,
                              .series_count = (size_t)count,
                              .whole_x = true };
    const cbm_plot plot = { .title = "finetune: five kinds of things, few pictures of each",
                            .panels = &panel,
                            .panel_count = 1 };
    return cbm_recipe_keep_plot(cx, "finetune", &plot, run_dir, "curves.png", out);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    cbm_seed(cx, s->seed);
    course *c = calloc(4, sizeof *c), *before = c + 3;
    if (!c)
        return cbm_fail(cx, CBM_ERROR_MEMORY, "[finetune] no memory");
    static const char *const names[] = { "frozen features", "fine-tuned", "from scratch", "before" };
    for (int i = 0; i < 4; i++) {
        c[i].name = names[i];
        c[i].out = out;
    }
    cbm_module *seen = model(cx, s->dtype), *tuned = model(cx, s->dtype), *fresh = model(cx, s->dtype);
    train(seen, descent(seen, s->lr), augmented(pictures_of(cx, s, CBM_TRAIN, source, 1)),
          plain(pictures_of(cx, s, CBM_TEST, source, 1)), BEFORE_BATCH, BEFORE_EPOCHS, s, before);
    cbm_dataset *few = pictures_of(cx, s, CBM_TRAIN, target, PART),
                *test = plain(pictures_of(cx, s, CBM_TEST, target, 1));
    if (cbm_context_status(cx) == CBM_OK && take_over(tuned, seen) == CBM_OK) {
        fprintf(out, "%lld pictures of five other kinds\n", (long long)cbm_dataset_count(few));
        cbm_module *last = cbm_sequential(cx, cbm_nn_linear(cx, WIDTH, CLASSES, .dtype = s->dtype), CBM_END);
        train(last, cbm_adamw(last, .lr = FEATURES_RATE, .weight_decay = FEATURES_DECAY), features_of(seen, plain(few)),
              features_of(seen, test), s->batch_size, s->epochs, s, &c[0]);
        train(tuned, descent(tuned, FINE * s->lr), augmented(few), test, s->batch_size, s->epochs, s, &c[1]);
        train(fresh, descent(fresh, s->lr), augmented(few), test, s->batch_size, s->epochs, s, &c[2]);
    }
    for (int i = 0; i < 3 && cbm_context_status(cx) == CBM_OK && c[i].epochs > 0; i++) {
        const double accuracy = c[i].accuracy[c[i].epochs - 1];
        fprintf(out, "%-16s %.2f %% of the test pictures right\n", c[i].name, accuracy);
        cbm_recipe_measure(s, accuracy, "%s_test_accuracy", c[i].name);
    }
    if (cbm_context_status(cx) == CBM_OK && s->run_dir)
        draw(cx, c, 3, s->run_dir, out);
    free(c);
    return cbm_context_status(cx);
}

const cbm_recipe cbm_recipe_finetune = {
    .name = "finetune",
    .summary = "few pictures of new things: frozen features and fine-tuning against training from scratch",
    .description =
        "A residual network learns five of CIFAR-10's classes. Of the five others only 5 % of the training\n"
        "pictures are given, about 250 of each: a linear layer on the frozen features, the whole network trained\n"
        "on, and a new network from scratch are compared; three curves in one picture.",
    .data = "cifar10",
    .epochs = 40,
    .batch_size = 32,
    .lr = 0.1,
    .input = { { 3, 3, 32, 32 } },
    .classes = CLASSES,
    .model = model,
    .run = run,
};
