/* agenda.h: a plan's steps as what they do to memory, so that their order, and what is made twice instead of kept, can be
   tried out before the arena is laid out. agenda.c makes, measures and changes an agenda; improve.c searches for a better
   one; settle.c gives the plan's steps the order and the memory found. */
#ifndef CAMBIUM_PLAN_AGENDA_H
#define CAMBIUM_PLAN_AGENDA_H

#include "plan/build.h"

/* A step at its place in the order; or a step that makes one result of an earlier one again. */
typedef struct cbm_event {
    int32_t step;  /* as built */
    int32_t again; /* the number of the result; -1: the step itself */
    int32_t first; /* in uses: the operands read, then those made, then scratch */
    int32_t n_in, count;
    uint64_t inputs; /* of one that makes again: which operands of its step it needs */
    double cost;     /* time, as bytes moved */
} cbm_event;

/* A value of the agenda in an event: its number twice, and 1 if it is written. */
typedef int32_t cbm_use;

/* Memory that steps read and write: a lifetime of the arena, or (of no bytes here) what lies outside of it. */
typedef struct cbm_agenda_value {
    size_t bytes;
    int32_t of;      /* what it is once more; itself */
    int32_t writers; /* steps that write it */
} cbm_agenda_value;

typedef struct cbm_agenda {
    cbm_build *b;
    cbm_array events; /* of cbm_event, in order */
    cbm_array uses;   /* of cbm_use */
    cbm_array values; /* of cbm_agenda_value: lifetimes, then outside memory by base, then what is made again */
    size_t built_lifetimes;
} cbm_agenda;

/* What an agenda comes to. The arrays are scratch of the measuring. */
typedef struct cbm_measure {
    int32_t *first, *last, *shares; /* a value: events, -1 for none; the value whose place it takes, or -1 */
    size_t *live;                   /* an event: bytes */
    size_t n_values, n_events;      /* room */
    size_t peak;
    int32_t at, times; /* the first event of as many as the peak, and their number */
} cbm_measure;

static inline cbm_event *cbm_event_at(const cbm_agenda *s, int32_t i)
{
    return &CBM_AT(&s->events, cbm_event, i);
}
static inline int32_t cbm_used(const cbm_agenda *s, int32_t use)
{
    return CBM_AT(&s->uses, cbm_use, use) / 2;
}
static inline bool cbm_writes(const cbm_agenda *s, int32_t use)
{
    return CBM_AT(&s->uses, cbm_use, use) % 2 != 0;
}

/* agenda.c */
bool cbm_agenda_open(cbm_agenda *s, cbm_build *b); /* the steps as they were built */
void cbm_agenda_close(cbm_agenda *s);
bool cbm_agenda_copy(cbm_agenda *to, const cbm_agenda *from);
bool cbm_agenda_measure(const cbm_agenda *s, cbm_measure *m); /* false: no memory */
void cbm_measure_free(cbm_agenda *s, cbm_measure *m);
/* Puts event `from`, with those that it needs before it, right before event `to` < from; or, with those that need it, right
   after event `to` >= from. hasten returns how many were moved; 0 and false: not possible. */
int32_t cbm_agenda_hasten(cbm_agenda *s, int32_t from, int32_t to);
bool cbm_agenda_delay(cbm_agenda *s, int32_t from, int32_t to);
/* Whether the step that makes a value can make it again, and as an event. */
bool cbm_agenda_can_repeat(const cbm_agenda *s, int32_t event, int32_t value, cbm_event *again);
/* A value as it was last made before an event: itself, or once more. */
int32_t cbm_agenda_newest(const cbm_agenda *s, int32_t value, int32_t before);
/* Makes the value of event `maker` again right before event `before`; events from there on read what is made then. */
bool cbm_agenda_repeat(cbm_agenda *s, const cbm_event *again, int32_t maker, int32_t value, int32_t before);
void cbm_agenda_keep(cbm_agenda *s, int32_t event); /* the reverse */
bool cbm_agenda_is_sound(const cbm_agenda *s);      /* what may fail comes before what overwrites variables */

/* improve.c: orders and repeats so that the most memory in use at a time becomes less. false: no memory. */
bool cbm_agenda_improve(cbm_agenda *s);

#endif
