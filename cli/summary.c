/* summary.c: `cambium summary`: the layers of a recipe's model or of a network; of files see summary_file.c. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct summary_options {
    cbm_common common;
    int64_t batch;
    bool compare;
} summary_options;

/* Rows as the library gives them, kept so that columns can be as wide as needed. */
typedef struct rows {
    cbm_summary_row *at;
    size_t count, room;
    bool no_memory;
} rows;

/* What a step of the recipe takes in memory. */
typedef struct memory {
    bool trains;
    cbm_trial_memory training, inference;
} memory;

static bool predict_memory(const cbm_recipe *recipe, const summary_options *o, memory *m)
{
    m->trains = recipe->optimizer != NULL;
    return cbm_trial_predict(&o->common, recipe, o->batch ? o->batch : 1, true, &m->inference) &&
           (!m->trains || cbm_trial_predict(&o->common, recipe, o->batch, false, &m->training));
}

static void keep_row(const cbm_summary_row *row, void *user)
{
    rows *r = user;
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 32;
        cbm_summary_row *at = realloc(r->at, room * sizeof *at);
        if (!at) {
            r->no_memory = true;
            return;
        }
        r->at = at;
        r->room = room;
    }
    r->at[r->count++] = *row;
}

/* How much of the picture an element sees: "5x5"; "all". */
static const char *field_text(const cbm_shape *field, char text[static 160])
{
    int used = snprintf(text, 160, "%s", field->v[0] ? "" : "all");
    for (int64_t i = 1; i <= field->v[0] && used < 140; i++)
        used += snprintf(text + used, 160 - (size_t)used, "%s%lld", i > 1 ? "x" : "", (long long)field->v[i]);
    return text;
}

static const char *label_of(const cbm_summary_row *row, char text[static 320])
{
    const char *type = row->type ? row->type : "module";
    if (row->name[0])
        snprintf(text, 320, "%s (%s)", row->name, type);
    else
        snprintf(text, 320, "%s", type);
    return text;
}

static void print_memory(const char *what, const cbm_trial_memory *m)
{
    char a[32], b[32], c[32], d[32];
    printf("%s, batch of %lld: %s at the peak\n", what, (long long)m->batch, cbm_text_bytes((double)m->peak, a));
    printf("  parameters %s, optimizer %s, data %s\n", cbm_text_bytes((double)m->parameters, a),
           cbm_text_bytes((double)m->optimizer, b), cbm_text_bytes((double)m->data, c));
    printf("  arena %s (with scratch, at most %s), results %s", cbm_text_bytes((double)m->arena, a),
           cbm_text_bytes((double)m->scratch, b), cbm_text_bytes((double)m->results, c));
    if (m->kept)
        printf(", kept from run to run %s", cbm_text_bytes((double)m->kept, a));
    printf(", graph and plans %s\n", cbm_text_bytes((double)m->rest, d));
}

/* m NULL: not known. */
static void print_table(const char *name, const rows *r, int64_t batch, const memory *m)
{
    int widest = 5, widest_shape = 12;
    char text[320], shape[160], field[160], a[32], b[32], c[32], d[32], e[32];
    for (size_t i = 0; i < r->count; i++) {
        int n = (int)strlen(label_of(&r->at[i], text)), columns = (int)strlen(cbm_text_shape(&r->at[i].output, shape));
        widest = n > widest ? n : widest;
        widest_shape = columns > widest_shape ? columns : widest_shape;
    }
    printf("%s, batch of %lld\n\n", name, (long long)batch);
    printf("%-*s  %-*s  %12s  %9s  %9s  %9s  %11s  %s\n", widest, "layer", widest_shape, "output shape", "parameters",
           "mult-adds", "FLOPs", "backward", "activations", "sees");
    for (size_t i = 0; i + 1 < r->count; i++) {
        const cbm_summary_row *row = &r->at[i];
        printf("%-*s  %-*s  %12s  %9s  %9s  %9s  %11s  %s\n", widest, label_of(row, text), widest_shape,
               cbm_text_shape(&row->output, shape), cbm_text_count(row->parameters, a),
               cbm_text_si(row->multiply_adds, d), cbm_text_si(row->flops, b), cbm_text_si(row->backward_flops, e),
               cbm_text_bytes((double)row->activation_bytes, c), field_text(&row->receptive_field, field));
    }
    if (r->count == 0)
        return;
    const cbm_summary_row *all = &r->at[r->count - 1];
    printf("\n%-*s  %-*s  %12s  %9s  %9s  %9s  %11s\n", widest, "total", widest_shape,
           cbm_text_shape(&all->output, shape), cbm_text_count(all->parameters, a), cbm_text_si(all->multiply_adds, d),
           cbm_text_si(all->flops, b), cbm_text_si(all->backward_flops, e),
           cbm_text_bytes((double)all->activation_bytes, c));
    if (all->flops > 0)
        printf("backward takes %.2f times the forward's operations\n", all->backward_flops / all->flops);
    printf("trainable parameters: %s\n", cbm_text_count(all->trainable, a));
    printf("parameter memory: %s\n", cbm_text_bytes(4.0 * (double)all->parameters, a));
    if (!m)
        return;
    printf("\nplanned memory\n");
    if (m->trains)
        print_memory("training", &m->training);
    print_memory("inference", &m->inference);
}

/* ---- what other layers of the same reach would hold and cost, as the course compares them ---- */

/* A convolution shares its weights among all places, a locally connected layer has its own at each, and a fully connected one
   joins each input with each output. Without biases. */
typedef struct reaches {
    double shared, local, full; /* weights; of the first two the multiply-adds are alike, as many as local */
} reaches;

/* false: not a layer whose weights slide over pictures. */
static bool compare_reaches(const cbm_summary_row *row, reaches *r)
{
    const bool convolution = strcmp(row->type, "conv2d") == 0;
    if ((!convolution && strcmp(row->type, "locally_connected2d") != 0) || row->output.v[0] != 4)
        return false;
    const double batch = (double)row->output.v[1], places = (double)row->output.v[3] * (double)row->output.v[4];
    const cbm_shape *in = &row->input, *out = &row->output;
    r->local = row->multiply_adds / batch;
    r->shared = r->local / places;
    r->full = (double)in->v[2] * (double)in->v[3] * (double)in->v[4] * (double)out->v[2] * places;
    return true;
}

static void print_comparison(const rows *r)
{
    char text[320], a[32], b[32], c[32];
    reaches at, all = { 0, 0, 0 };
    int widest = 5;
    for (size_t i = 0; i + 1 < r->count; i++)
        if (compare_reaches(&r->at[i], &at)) {
            const int n = (int)strlen(label_of(&r->at[i], text));
            widest = n > widest ? n : widest;
        }
    printf("\nweights of layers of the same reach\n%-*s  %14s  %17s  %15s\n", widest, "", "convolutional",
           "locally connected", "fully connected");
    for (size_t i = 0; i < r->count; i++)
        if (compare_reaches(&r->at[i], &at)) {
            printf("%-*s  %14s  %17s  %15s\n", widest, label_of(&r->at[i], text), cbm_text_si(at.shared, a),
                   cbm_text_si(at.local, b), cbm_text_si(at.full, c));
            all = (reaches){ all.shared + at.shared, all.local + at.local, all.full + at.full };
        }
    printf("%-*s  %14s  %17s  %15s\n", widest, "total", cbm_text_si(all.shared, a), cbm_text_si(all.local, b),
           cbm_text_si(all.full, c));
    printf("%-*s  %14s  %17s  %15s\n", widest, "mult-adds", cbm_text_si(all.local, a), cbm_text_si(all.local, b),
           cbm_text_si(all.full, c));
}

static void add_row(cbm_json *j, const cbm_summary_row *row)
{
    cbm_json_text(j, "name", row->name);
    cbm_json_text(j, "type", row->type);
    cbm_json_int(j, "depth", row->depth);
    cbm_json_shape(j, "input_shape", &row->input);
    cbm_json_shape(j, "output_shape", &row->output);
    cbm_json_int(j, "parameters", row->parameters);
    cbm_json_int(j, "trainable", row->trainable);
    cbm_json_real(j, "multiply_adds", row->multiply_adds);
    cbm_json_real(j, "flops", row->flops);
    cbm_json_real(j, "backward_flops", row->backward_flops);
    cbm_json_shape(j, "receptive_field", &row->receptive_field);
    cbm_json_int(j, "activation_bytes", row->activation_bytes);
    reaches r;
    if (compare_reaches(row, &r)) {
        cbm_json_real(j, "weights_if_convolutional", r.shared);
        cbm_json_real(j, "weights_if_locally_connected", r.local);
        cbm_json_real(j, "weights_if_fully_connected", r.full);
    }
}

static void add_memory(cbm_json *j, const char *name, const cbm_trial_memory *m)
{
    cbm_json_object(j, name);
    cbm_json_int(j, "batch_size", m->batch);
    cbm_json_int(j, "peak_bytes", (int64_t)m->peak);
    cbm_json_int(j, "parameter_bytes", (int64_t)m->parameters);
    cbm_json_int(j, "optimizer_bytes", (int64_t)m->optimizer);
    cbm_json_int(j, "data_bytes", (int64_t)m->data);
    cbm_json_int(j, "arena_bytes", (int64_t)m->arena);
    cbm_json_int(j, "scratch_bytes", (int64_t)m->scratch);
    cbm_json_int(j, "result_bytes", (int64_t)m->results);
    cbm_json_int(j, "kept_bytes", (int64_t)m->kept);
    cbm_json_int(j, "graph_bytes", (int64_t)m->rest);
    cbm_json_close(j);
}

static int print_json(const char *kind, const char *name, const rows *r, int64_t batch, const memory *m)
{
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, kind, name);
    cbm_json_int(&j, "batch_size", batch);
    cbm_json_array(&j, "layers");
    for (size_t i = 0; i + 1 < r->count; i++) {
        cbm_json_object(&j, NULL);
        add_row(&j, &r->at[i]);
        cbm_json_close(&j);
    }
    cbm_json_close(&j);
    cbm_json_object(&j, "total");
    if (r->count > 0)
        add_row(&j, &r->at[r->count - 1]);
    cbm_json_close(&j);
    if (m) {
        cbm_json_object(&j, "memory");
        if (m->trains)
            add_memory(&j, "training", &m->training);
        add_memory(&j, "inference", &m->inference);
        cbm_json_close(&j);
    }
    return cbm_json_end(&j, stdout);
}

/* recipe NULL: a network of the library, of which no training is known. */
static int summarise(const char *name, cbm_module *net, const cbm_shape *input, const cbm_recipe *recipe,
                     const summary_options *o)
{
    cbm_context *cx = net->cx;
    const int64_t batch = o->batch ? o->batch : 1;
    cbm_shape shape = { { input->v[0] + 1, batch } };
    for (int64_t i = 1; i <= input->v[0]; i++)
        shape.v[i + 1] = input->v[i];
    cbm_eval(net);
    rows r = { 0 };
    memory m = { 0 };
    cbm_status status = cbm_summary(net, cbm_zeros(cx, CBM_F32, shape), keep_row, &r);
    int code;
    if (status != CBM_OK)
        code = cbm_report_context(cx);
    else if (r.no_memory)
        code = cbm_report("no memory");
    else if (recipe && !predict_memory(recipe, o, &m))
        code = CBM_EXIT_FAILURE;
    else if (o->common.json)
        code = print_json(recipe ? "recipe" : "network", name, &r, batch, recipe ? &m : NULL);
    else {
        print_table(name, &r, batch, recipe ? &m : NULL);
        if (o->compare)
            print_comparison(&r);
        code = CBM_EXIT_OK;
    }
    free(r.at);
    return code;
}

static int summarise_recipe(const cbm_recipe *recipe, cbm_context *cx, const summary_options *o)
{
    if (!recipe->model)
        return cbm_report("%s has no single model to summarise", recipe->name);
    if (recipe->input.v[0] + 1 > CBM_MAX_DIMS)
        return cbm_report("%s: too many dimensions", recipe->name);
    CBM_NO_GRAD(scope, cx);
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    return summarise(recipe->name, cbm_recipe_model(recipe, cx, &s, NULL), &recipe->input, recipe, o);
}

/* false: the library has no network of this name. */
static bool find_network(const char *name, cbm_network_info *info)
{
    *info = (cbm_network_info){ .struct_size = sizeof *info };
    for (size_t i = 0; cbm_network_at(i, info); i++)
        if (strcmp(info->name, name) == 0)
            return true;
    return false;
}

static int summarise_network(const cbm_network_info *info, cbm_context *cx, const summary_options *o)
{
    CBM_NO_GRAD(scope, cx);
    return summarise(info->name, cbm_network(cx, info->name), &info->input, NULL, o);
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const summary_options *o = options;
    const char *what = arguments->at[0];
    const cbm_recipe *recipe = cbm_recipe_named(what);
    bool looks_like_file = strchr(what, '/') || strchr(what, '.') || cbm_file_exists(what);
    cbm_network_info network;
    const bool is_network = !recipe && !looks_like_file && find_network(what, &network);
    if (!recipe && !looks_like_file && !is_network) {
        cbm_report(
            "there is no recipe and no network '%s'\nHINT: `%s list` and `%s list --networks` show those there are",
            what, cbm_program, cbm_program);
        return CBM_EXIT_USAGE;
    }
    cbm_context *cx = cbm_open_common(&o->common, 0, false);
    int code;
    if (cbm_context_status(cx) != CBM_OK)
        code = cbm_report_context(cx);
    else
        code = recipe       ? summarise_recipe(recipe, cx, o)
               : is_network ? summarise_network(&network, cx, o)
                            : cbm_summarise_file(cx, what, o->common.json);
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "batch", 'b', CBM_OPTION_INT, offsetof(summary_options, batch), "N",
      "samples in the input (1; for the memory of training the recipe's)", 1, 1e6 },
    { "compare", 'c', CBM_OPTION_FLAG, offsetof(summary_options, compare), NULL,
      "what locally and fully connected layers would hold instead", 0, 0 },
    CBM_OPTION_JSON(summary_options, "the rows as JSON"),
};

const cbm_command cbm_command_summary = {
    .name = "summary",
    .usage = "RECIPE|NETWORK|FILE [options]",
    .summary = "a model's layers, or a file's tensors",
    .description =
        "For a recipe: a row for each layer with its output shape, its parameters, the multiply-adds and "
        "operations (FLOPs) of\n"
        "one forward pass and of the gradients, the memory of its output, and how much of the picture an "
        "element of it sees;\n"
        "then the memory that training and inference take at their peak, planned without running. The same "
        "rows for a network\n"
        "of the library (resnet50, vgg16_bn, ...). For a file of weights, safetensors or PyTorch's: a row for "
        "each tensor.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(summary_options),
    .run = run,
};
