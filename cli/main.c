/* main.c: the program `cambium`: the table of its commands, and calling one. Each command is a file of its own. */
#include "cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

const cbm_command *const cbm_commands[] = {
    &cbm_command_train,     &cbm_command_check, &cbm_command_lr_find, &cbm_command_look,  &cbm_command_eval,
    &cbm_command_predict,   &cbm_command_list,  &cbm_command_summary, &cbm_command_plan,  &cbm_command_data,
    &cbm_command_gradcheck, &cbm_command_ops,   &cbm_command_version, &cbm_command_help_,
};
const size_t cbm_command_count = CBM_COUNT_OF(cbm_commands);

const cbm_command *cbm_command_named(const char *name)
{
    for (size_t i = 0; i < cbm_command_count; i++)
        if (strcmp(cbm_commands[i]->name, name) == 0)
            return cbm_commands[i];
    return NULL;
}

static const char *command_name_at(size_t i, void *user)
{
    (void)user;
    return i < cbm_command_count ? cbm_commands[i]->name : NULL;
}

static int unknown_command(const char *word)
{
    const char *near = word[0] == '-' ? NULL : cbm_nearest(word, command_name_at, NULL);
    const char *what = word[0] == '-' ? "option" : "command";
    if (near)
        return cbm_report_usage(NULL, "there is no %s '%s'; did you mean %s?", what, word, near);
    return cbm_report_usage(NULL, "there is no %s '%s'", what, word);
}

static int run_command(const cbm_command *command, int argc, char **argv)
{
    void *options = calloc(1, command->size ? command->size : 1);
    if (!options)
        return cbm_report("no memory");
    if (command->defaults)
        command->defaults(options);
    cbm_arguments rest;
    bool help = false;
    int code = CBM_EXIT_OK;
    if (!cbm_options_parse(command, argc, argv, options, &rest, &help))
        code = CBM_EXIT_USAGE;
    else if (help)
        cbm_command_help(command, stdout);
    else
        code = command->run(options, &rest);
    free(options);
    return code;
}

int main(int argc, char **argv)
{
    if (argc > 0 && argv[0] && argv[0][0])
        cbm_program = argv[0];
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error like any other */
    const char *word = argc > 1 ? argv[1] : NULL;
    const cbm_command *command = word ? cbm_command_named(word) : NULL;
    int code;
    if (!word)
        code = cbm_report_usage(NULL, "which command?");
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        code = run_command(&cbm_command_help_, 0, NULL);
    else if (strcmp(word, "--version") == 0)
        code = run_command(&cbm_command_version, argc - 2, argv + 2);
    else if (!command)
        code = unknown_command(word);
    else
        code = run_command(command, argc - 2, argv + 2);
    cbm_live_clear();
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CBM_EXIT_OK)
        code = cbm_report("cannot write the output");
    return code;
}
