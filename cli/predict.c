/* predict.c: `cambium predict`: classes of pictures (PNG, JPEG) and arrays (npy). */
#include "cli.h"
#include "media/media.h"

#include <stdlib.h>
#include <string.h>

typedef struct predict_options {
    cbm_common common;
    const char *weights, *run;
    int64_t top;
    bool invert;
} predict_options;

/* What one file's samples are: probabilities (samples, classes), owned here. */
typedef struct prediction {
    int64_t samples, classes;
    float *probability;
} prediction;

static void set_defaults(void *options)
{
    ((predict_options *)options)->top = 1;
}

static bool is_npy(const char *path)
{
    static const char magic[] = "\x93NUMPY";
    char start[sizeof magic - 1];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    bool npy = fread(start, 1, sizeof start, file) == sizeof start && memcmp(start, magic, sizeof start) == 0;
    fclose(file);
    return npy;
}

/* The mean of the samples along the border, by channel. */
static void border_mean(const cbm_image *image, double mean[static 4])
{
    int64_t w = image->width, h = image->height, c = image->channels, count = 0;
    memset(mean, 0, 4 * sizeof *mean);
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            if (y > 0 && y < h - 1 && x > 0 && x < w - 1)
                continue;
            for (int64_t k = 0; k < c; k++)
                mean[k] += image->pixels[(y * w + x) * c + k];
            count++;
        }
    for (int64_t k = 0; k < c; k++)
        mean[k] /= (double)count;
}

/* Widens the picture with its border's colour until width : height is as wanted, so that resizing bends nothing. */
static cbm_status pad_to_aspect(cbm_image *image, int64_t width, int64_t height, cbm_media_message *message)
{
    int64_t w = image->width, h = image->height, c = image->channels;
    int64_t new_w = w, new_h = h;
    if (w * height < h * width)
        new_w = (h * width + height / 2) / height;
    else
        new_h = (w * height + width / 2) / width;
    if (new_w <= w && new_h <= h)
        return CBM_OK;
    cbm_image padded;
    cbm_status status = cbm_image_new(new_w, new_h, c, &padded, message);
    if (status != CBM_OK)
        return status;
    double fill[4];
    border_mean(image, fill);
    for (int64_t i = 0; i < new_w * new_h * c; i++)
        padded.pixels[i] = (uint8_t)(fill[i % c] + 0.5);
    int64_t left = (new_w - w) / 2, top = (new_h - h) / 2;
    for (int64_t y = 0; y < h; y++)
        memcpy(padded.pixels + ((top + y) * new_w + left) * c, image->pixels + y * w * c, (size_t)(w * c));
    cbm_image_free(image);
    *image = padded;
    return CBM_OK;
}

/* Reads a picture as the recipe's input wants it: grey or RGB, of its size. */
static cbm_status read_picture(const cbm_recipe *recipe, const char *path, bool invert, cbm_image *out,
                               cbm_media_message *message)
{
    int64_t channels = recipe->input.v[1], height = recipe->input.v[2], width = recipe->input.v[3];
    cbm_image file, plain = { 0 };
    cbm_status status = cbm_image_read(path, &file, message);
    if (status == CBM_OK)
        status = (channels == 1 ? cbm_image_to_grey : cbm_image_to_rgb)(&file, &plain, message);
    if (status == CBM_OK && invert)
        cbm_image_invert(&plain);
    if (status == CBM_OK)
        status = pad_to_aspect(&plain, width, height, message);
    if (status == CBM_OK)
        status = cbm_image_resize(&plain, width, height, out, message);
    double mean[4];
    if (status == CBM_OK && !invert && channels == 1) {
        border_mean(&plain, mean);
        if (mean[0] > 127)
            cbm_report("note: '%s' has a bright background; for dark writing on paper, --invert helps", path);
    }
    cbm_image_free(&file);
    cbm_image_free(&plain);
    return status;
}

/* The recipe's input for a file, or NULL after a report. */
static cbm_tensor *read_input(const cbm_recipe *recipe, cbm_context *cx, const char *path, bool invert)
{
    if (is_npy(path)) {
        if (!recipe->from_array) {
            cbm_report("%s does not predict from arrays", recipe->name);
            return NULL;
        }
        return recipe->from_array(cx, cbm_npy_read(cx, path));
    }
    if (!recipe->from_image || recipe->input.v[0] != 3) {
        cbm_report("%s does not predict from pictures", recipe->name);
        return NULL;
    }
    cbm_image picture = { 0 };
    cbm_media_message message = { "" };
    if (read_picture(recipe, path, invert, &picture, &message) != CBM_OK) {
        cbm_report("%s", message.text);
        return NULL;
    }
    cbm_tensor *input = recipe->from_image(cx, picture.pixels, picture.height, picture.width, picture.channels);
    cbm_image_free(&picture);
    return input;
}

/* Runs the network on one file. Returns an exit code. */
static int predict_file(const cbm_recipe *recipe, cbm_context *cx, cbm_module *net, const char *path, bool invert,
                        prediction *out)
{
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *input = read_input(recipe, cx, path, invert);
    if (!input)
        return CBM_EXIT_FAILURE;
    cbm_tensor *p = cbm_recipe_predict(recipe, net, input);
    const float *values = cbm_tensor_data(p);
    if (!values || cbm_tensor_rank(p) != 2 || cbm_tensor_dtype(p) != CBM_F32)
        return cbm_context_status(cx) != CBM_OK ? cbm_report_context(cx) : cbm_report("'%s': no prediction", path);
    *out = (prediction){ cbm_tensor_size(p, 0), cbm_tensor_size(p, 1), NULL };
    size_t bytes = (size_t)cbm_tensor_count(p) * sizeof *values;
    out->probability = malloc(bytes ? bytes : 1);
    if (!out->probability)
        return cbm_report("no memory");
    memcpy(out->probability, values, bytes);
    return CBM_EXIT_OK;
}

/* The class that comes k-th, by probability. */
static int64_t class_at(const float *p, int64_t classes, int64_t k)
{
    for (int64_t i = 0; i < classes; i++) {
        int64_t better = 0;
        for (int64_t other = 0; other < classes; other++)
            better += p[other] > p[i] || (!(p[other] < p[i]) && other < i);
        if (better == k)
            return i;
    }
    return 0;
}

static void print_lines(const cbm_recipe *recipe, const char *path, const prediction *p, int64_t top)
{
    for (int64_t s = 0; s < p->samples; s++) {
        const float *row = p->probability + s * p->classes;
        fputs(path, stdout);
        if (p->samples > 1)
            printf("[%lld]", (long long)s);
        fputc(':', stdout);
        for (int64_t k = 0; k < top && k < p->classes; k++) {
            int64_t c = class_at(row, p->classes, k);
            printf("%s %lld", k ? "," : "", (long long)c);
            if (recipe->class_names)
                printf(" %s", recipe->class_names[c]);
            printf(" (%.1f %%)", 100 * (double)row[c]);
        }
        fputc('\n', stdout);
    }
}

static void add_json(cbm_json *j, const cbm_recipe *recipe, const char *path, const prediction *p)
{
    for (int64_t s = 0; s < p->samples; s++) {
        const float *row = p->probability + s * p->classes;
        int64_t best = class_at(row, p->classes, 0);
        cbm_json_object(j, NULL);
        cbm_json_text(j, "file", path);
        cbm_json_int(j, "index", s);
        cbm_json_int(j, "class", best);
        if (recipe->class_names)
            cbm_json_text(j, "name", recipe->class_names[best]);
        cbm_json_real(j, "probability", (double)row[best]);
        cbm_json_array(j, "probabilities");
        for (int64_t c = 0; c < p->classes; c++)
            cbm_json_real(j, NULL, (double)row[c]);
        cbm_json_close(j);
        cbm_json_close(j);
    }
}

static int predict_all(const cbm_recipe *recipe, cbm_context *cx, cbm_module *net, const predict_options *o,
                       const cbm_arguments *arguments, const char *weights)
{
    int code = CBM_EXIT_OK;
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "recipe", recipe->name);
    cbm_json_text(&j, "weights", weights);
    cbm_json_array(&j, "predictions");
    for (int i = 1; i < arguments->count && !cbm_interrupted(); i++) {
        prediction p = { 0 };
        int one = predict_file(recipe, cx, net, arguments->at[i], o->invert, &p);
        if (one != CBM_EXIT_OK)
            code = one;
        else if (o->common.json)
            add_json(&j, recipe, arguments->at[i], &p);
        else
            print_lines(recipe, arguments->at[i], &p, o->top);
        free(p.probability);
        cbm_clear(cx);
    }
    int printed = CBM_EXIT_OK;
    if (o->common.json)
        printed = cbm_json_end(&j, stdout);
    else
        cbm_json_drop(&j);
    return cbm_interrupted() ? CBM_EXIT_INTERRUPTED : code ? code : printed;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const predict_options *o = options;
    const cbm_recipe *recipe = cbm_find_recipe(arguments->at[0]);
    char weights[CBM_PATH_ROOM];
    if (!recipe)
        return CBM_EXIT_USAGE;
    if (!recipe->model || recipe->classes < 1)
        return cbm_report("%s does not classify anything", recipe->name);
    if (!cbm_find_weights(recipe->name, o->weights, o->run, weights))
        return CBM_EXIT_FAILURE;
    cbm_common common = o->common;
    if (!o->weights)
        cbm_use_precision_of_run(recipe, weights, &common);
    cbm_context *cx = cbm_open_common(&common, 0, false);
    cbm_interrupt_watch(cx);
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    cbm_module *net = cbm_recipe_model(recipe, cx, &s, weights);
    int code;
    if (cbm_context_status(cx) != CBM_OK)
        code = cbm_report_context(cx);
    else
        code = predict_all(recipe, cx, net, o, arguments, weights);
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "weights", 'w', CBM_OPTION_TEXT, offsetof(predict_options, weights), "FILE", "a safetensors file", 0, 0 },
    { "run", 'r', CBM_OPTION_TEXT, offsetof(predict_options, run), "DIR", "the run whose weights to use (the newest)",
      0, 0 },
    { "top", 'n', CBM_OPTION_INT, offsetof(predict_options, top), "N", "show the N likeliest classes (1)", 1, 1e6 },
    { "invert", 'i', CBM_OPTION_FLAG, offsetof(predict_options, invert), NULL, "pictures are dark on a bright ground",
      0, 0 },
    CBM_OPTION_THREADS(predict_options),
    CBM_OPTION_DEVICE(predict_options),
    CBM_OPTION_PRECISION(predict_options),
    CBM_OPTION_JSON(predict_options, "file, index, class, probability, probabilities as JSON"),
};

const cbm_command cbm_command_predict = {
    .name = "predict",
    .usage = "RECIPE FILE... [options]",
    .summary = "classify pictures",
    .description =
        "Prints the class and its probability for each picture (PNG or JPEG) and each sample of an array (npy).\n"
        "Pictures are turned grey where the recipe wants grey, widened to its proportions and resized to its input.\n"
        "The digit recipes expect bright writing on a dark ground: --invert for ink on paper.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 2,
    .most = -1,
    .size = sizeof(predict_options),
    .defaults = set_defaults,
    .run = run,
};
