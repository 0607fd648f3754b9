/* cli.h: what the subcommands of `cambium` share: the command table, options, messages, JSON, progress, signals, paths.
   Rests on the library, cambium-media and the recipes. */
#ifndef CAMBIUM_CLI_H
#define CAMBIUM_CLI_H

#include "recipes/recipe.h"
#include <stdio.h>

/* Exit codes. */
enum { CBM_EXIT_OK = 0, CBM_EXIT_FAILURE = 1, CBM_EXIT_USAGE = 2, CBM_EXIT_INTERRUPTED = 130 };

enum { CBM_PATH_ROOM = 4096 };

/* ---- options.c ---- */
typedef enum cbm_option_type {
    CBM_OPTION_FLAG, /* bool */
    CBM_OPTION_TEXT, /* const char * */
    CBM_OPTION_INT,  /* int64_t in [low, high] */
    CBM_OPTION_REAL  /* double in [low, high] */
} cbm_option_type;

/* --name VALUE, --name=VALUE or -x VALUE; the value goes to the command's struct at offset. */
typedef struct cbm_option {
    const char *name;
    char letter; /* 0: none */
    cbm_option_type type;
    size_t offset;
    const char *value; /* its name in the help text; NULL for flags */
    const char *help;
    double low, high;
} cbm_option;

typedef struct cbm_arguments {
    int count;
    char **at;
} cbm_arguments;

typedef struct cbm_command {
    const char *name;
    const char *usage;       /* what follows the name: "RECIPE [options]" */
    const char *summary;     /* one line */
    const char *description; /* paragraphs of the help text */
    const cbm_option *options;
    size_t n_options;
    int least, most;                 /* positional arguments; most -1: any number */
    size_t size;                     /* of the struct of options */
    void (*defaults)(void *options); /* NULL: all zero */
    int (*run)(const void *options, const cbm_arguments *arguments);
} cbm_command;

/* The commands, in the order of the help text; main.c. */
extern const cbm_command *const cbm_commands[];
extern const size_t cbm_command_count;
const cbm_command *cbm_command_named(const char *name);

/* Parses arguments into options; positional ones are moved together in rest. false: usage error, already reported.
   *help is set when --help was among them. */
bool cbm_options_parse(const cbm_command *command, int argc, char **argv, void *options, cbm_arguments *rest,
                       bool *help);
void cbm_command_help(const cbm_command *command, FILE *out);
/* A word as a shell reads it back. */
void cbm_print_quoted(FILE *out, const char *word);
/* The words of the command line that gave options, quoted for a shell, without those in leave_out (a list of option
   names that ends in NULL). For "resume with" hints. */
void cbm_options_print_given(FILE *out, const char *const *leave_out);

extern const cbm_command cbm_command_train, cbm_command_check, cbm_command_lr_find, cbm_command_look, cbm_command_eval,
    cbm_command_predict, cbm_command_list, cbm_command_summary, cbm_command_plan, cbm_command_gradcheck,
    cbm_command_data, cbm_command_ops, cbm_command_version, cbm_command_help_;

/* The program's name as it was called, for hints. */
extern const char *cbm_program;

/* ---- messages.c ---- */
/* "cambium: message" on standard error, above a live line if there is one. Returns CBM_EXIT_FAILURE. */
int cbm_report(const char *format, ...) CBM_PRINTF(1, 2);
/* The same with a pointer to the command's --help (command NULL: the program's). Returns CBM_EXIT_USAGE. */
int cbm_report_usage(const char *command, const char *format, ...) CBM_PRINTF(2, 3);
/* Reports a context's error; CBM_EXIT_INTERRUPTED if it was cancelled by a signal, CBM_EXIT_FAILURE otherwise. */
int cbm_report_context(const cbm_context *cx);
/* "1,199,882", "12.3 M", "4.6 MiB", "1:05" into text; return text. */
char *cbm_text_count(int64_t n, char text[static 32]);
char *cbm_text_si(double n, char text[static 32]);
char *cbm_text_bytes(double n, char text[static 32]);
char *cbm_text_shape(const cbm_shape *shape, char text[static 160]); /* "(1, 28, 28)" */
char *cbm_text_seconds(double s, char text[static 32]);
/* Prints text from a file with control characters shown as \xNN; returns the columns used. */
int cbm_print_safe(FILE *out, const char *text);
/* The nearest name to a misspelt one, or NULL; at(i, user) gives the candidates until NULL. */
const char *cbm_nearest(const char *word, const char *(*at)(size_t i, void *user), void *user);

/* ---- json.c ---- */
/* A JSON document being built: values go to the innermost open object or array, and cbm_json_end prints it all. */
enum { CBM_JSON_DEPTH = 8 };
typedef struct cbm_json {
    struct json_t *open[CBM_JSON_DEPTH]; /* open[0] is the document */
    int depth;
} cbm_json;
/* name: NULL inside arrays and for the document itself. */
void cbm_json_object(cbm_json *j, const char *name);
void cbm_json_array(cbm_json *j, const char *name);
void cbm_json_close(cbm_json *j);                                     /* the innermost one */
void cbm_json_text(cbm_json *j, const char *name, const char *value); /* NULL: null; bytes that are not UTF-8: '?' */
void cbm_json_int(cbm_json *j, const char *name, int64_t value);
void cbm_json_real(cbm_json *j, const char *name, double value); /* null where not finite */
void cbm_json_bool(cbm_json *j, const char *name, bool value);
void cbm_json_shape(cbm_json *j, const char *name, const cbm_shape *shape);
/* Prints the document, indented, with a newline, and frees it. Returns an exit code. */
int cbm_json_end(cbm_json *j, FILE *out);
void cbm_json_drop(cbm_json *j); /* frees it unprinted */

/* ---- progress.c ---- */
/* Standard error is a terminal that can redraw a line. */
bool cbm_live(void);
/* Redraws the live line; nothing if there is none to be had. bar < 0: no bar, else the fraction done. */
void cbm_live_line(double bar, const char *format, ...) CBM_PRINTF(2, 3);
void cbm_live_clear(void);

/* ---- interrupt.c ---- */
/* From now on the first SIGINT or SIGTERM cancels cx (NULL: only sets the flag), the second kills. */
void cbm_interrupt_watch(cbm_context *cx);
void cbm_interrupt_unwatch(void); /* before cx is closed */
bool cbm_interrupted(void);

/* ---- summary_file.c ---- */
int cbm_summarise_file(cbm_context *cx, const char *path, bool json); /* the exit status; errors are reported */

/* ---- paths.c ---- */
bool cbm_path_join(char out[static CBM_PATH_ROOM], const char *folder,
                   const char *name); /* false: too long, reported */
bool cbm_file_exists(const char *path);
bool cbm_folder_exists(const char *path);
bool cbm_make_folders(const char *path); /* with parents; false: reported */
/* The folder of a new run: runs/RECIPE, or runs/RECIPE-2 and so on if that exists. */
bool cbm_new_run(const char *recipe, char out[static CBM_PATH_ROOM]);
/* The newest run of a recipe under runs/ that holds this file; false: none. */
bool cbm_newest_run(const char *recipe, const char *holding, char out[static CBM_PATH_ROOM]);
/* The weights to use: weights, or run/model.safetensors, or those of the newest run. false: reported. */
bool cbm_find_weights(const char *recipe, const char *weights, const char *run, char out[static CBM_PATH_ROOM]);
/* The recipe's data: folder/NAME. false: not there, reported with how to get it. */
bool cbm_find_data(const cbm_recipe *recipe, const char *folder, char out[static CBM_PATH_ROOM]);
/* Whether a picture can be written there: a name with the ending .png in a folder that may be written to. false: reported. */
bool cbm_picture_fits(const char *path);
/* The recipe of that name, or NULL: reported with the nearest name. */
const cbm_recipe *cbm_find_recipe(const char *name);

/* ---- context.c: options that many commands share ---- */
typedef struct cbm_common {
    int64_t threads;
    const char *device, *precision; /* NULL: not said */
    bool tune;                      /* measure algorithms, take the fastest */
    bool json;
} cbm_common;
/* Opens it; a device or precision that there is not is the context's error. */
cbm_context *cbm_open_common(const cbm_common *common, uint64_t seed, bool deterministic);
/* Unless a precision was said: the one that the run was trained in whose model.safetensors this is. */
void cbm_use_precision_of_run(const cbm_recipe *recipe, const char *weights, cbm_common *common);
#define CBM_OPTION_THREADS(type)                                                                                       \
    {                                                                                                                  \
        "threads", 't', CBM_OPTION_INT, offsetof(type, common.threads), "N", "processor threads (0: all cores)", 0,    \
            4096                                                                                                       \
    }
#define CBM_OPTION_DEVICE(type)                                                                                        \
    {                                                                                                                  \
        "device", 0, CBM_OPTION_TEXT, offsetof(type, common.device), "NAME", "cpu, or reference (plain loops, slow)",  \
            0, 0                                                                                                       \
    }
#define CBM_OPTION_PRECISION(type)                                                                                     \
    {                                                                                                                  \
        "precision", 0, CBM_OPTION_TEXT, offsetof(type, common.precision), "NAME",                                     \
            "f32, or bf16: activations and products in bfloat16", 0, 0                                                 \
    }
#define CBM_OPTION_TUNE(type)                                                                                          \
    {                                                                                                                  \
        "tune", 0, CBM_OPTION_FLAG, offsetof(type, common.tune), NULL,                                                 \
            "time convolution algorithms once, take the fastest (kept in ~/.cache/cambium)", 0, 0                      \
    }
#define CBM_OPTION_JSON(type, what)                                                                                    \
    {                                                                                                                  \
        "json", 0, CBM_OPTION_FLAG, offsetof(type, common.json), NULL, what, 0, 0                                      \
    }

/* ---- trial.c: a recipe's step on made-up data of its shapes ---- */
typedef struct cbm_trial {
    const cbm_recipe *recipe;
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt; /* NULL: inference */
    cbm_batch batch;
    bool inference;
} cbm_trial;
/* batch 0: the recipe's. The context's error says why not. */
cbm_status cbm_trial_open(cbm_trial *t, const cbm_recipe *recipe, cbm_context *cx, int64_t batch, bool inference);
/* Forward, backward, the optimizer's step and the loss as a number; or a prediction. */
cbm_status cbm_trial_step(cbm_trial *t);
/* The name of a variable of the network or its optimizer; false: none of them. */
bool cbm_trial_name(const cbm_trial *t, const void *variable, char name[static 300]);

/* Bytes of the context's allocator that steps take at their peak, and what they are for. */
typedef struct cbm_trial_memory {
    int64_t batch;
    uint64_t peak;       /* all of it: the sum of the following */
    uint64_t parameters; /* with buffers such as running statistics */
    uint64_t optimizer;  /* its state */
    uint64_t data;       /* the batch */
    uint64_t arena;      /* activations, gradients, scratch: all temporaries of the largest plan */
    uint64_t results;    /* what a step leaves in storage of its own */
    uint64_t kept;       /* from run to run: what depends on the parameters alone */
    uint64_t rest;       /* graph, plans, module structs; and values made while parameters were */
    uint64_t scratch;    /* of the arena, the most that one step of the plan takes as scratch */
} cbm_trial_memory;
/* By dry runs (cbm_dry_run) in contexts of their own: planned, nothing computed. false: reported. */
bool cbm_trial_predict(const cbm_common *common, const cbm_recipe *recipe, int64_t batch, bool inference,
                       cbm_trial_memory *out);

/* ---- machine.c ---- */
typedef struct cbm_machine {
    double flops; /* a second, in large matrix products */
    double bytes; /* a second, read and written by a pass over working_set bytes */
} cbm_machine;
bool cbm_measure_machine(const cbm_common *common, double working_set, cbm_machine *out);

#define CBM_COUNT_OF(table) (sizeof(table) / sizeof *(table))

#endif
