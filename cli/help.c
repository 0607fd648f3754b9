/* help.c: `cambium help` and `cambium --help`. */
#include "cli.h"

#include <string.h>

static int run(const void *options, const cbm_arguments *arguments)
{
    (void)options;
    if (arguments->count == 1) {
        const cbm_command *command = cbm_command_named(arguments->at[0]);
        if (!command)
            return cbm_report_usage(NULL, "there is no command '%s'", arguments->at[0]);
        cbm_command_help(command, stdout);
        return CBM_EXIT_OK;
    }
    printf("Cambium %s: tensors and dynamic neural networks that put C first.\n\n", cbm_version());
    printf("cambium COMMAND [arguments]\n\n");
    for (size_t i = 0; i < cbm_command_count; i++)
        printf("  %-10s %s\n", cbm_commands[i]->name, cbm_commands[i]->summary);
    printf("\n`cambium COMMAND --help` says more about a command.\n"
           "\nTo begin:\n"
           "  cambium data get mnist         handwritten digits, 60,000 to train and 10,000 to test\n"
           "  cambium train mnist-cnn        a convolutional network that learns to read them\n"
           "  cambium predict mnist-cnn picture.png\n"
           "\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n");
    return CBM_EXIT_OK;
}

const cbm_command cbm_command_help_ = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "this text, or a command's",
    .description = "Shows what the program does, or how a command is used.",
    .most = 1,
    .run = run,
};
