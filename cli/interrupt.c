/* interrupt.c: Ctrl-C. The first SIGINT or SIGTERM asks the running work to stop and save, the second kills. The
   library installs no handlers; the program does, here. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static volatile sig_atomic_t caught;
static _Atomic(cbm_context *) watched;

static void on_signal(int number)
{
    int kept = errno;
    if (caught) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    caught = 1;
    static const char note[] = "\nstopping (once more kills)\n";
    ssize_t written = write(STDERR_FILENO, note, sizeof note - 1);
    (void)written;
    cbm_context *cx = atomic_load(&watched);
    if (cx)
        cbm_cancel(cx);
    errno = kept;
}

void cbm_interrupt_watch(cbm_context *cx)
{
    atomic_store(&watched, cx);
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void cbm_interrupt_unwatch(void)
{
    atomic_store(&watched, NULL);
}

bool cbm_interrupted(void)
{
    return caught != 0;
}
