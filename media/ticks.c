/* ticks.c: round numbers along an axis, and their text whatever the locale. Rests on the C library. */
#include "media_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void cbm_number_text(double value, int digits, char *text, size_t size)
{
    double scaled = value;
    digits = digits < 0 ? 0 : digits > 15 ? 15 : digits;
    for (int i = 0; i < digits; i++)
        scaled *= 10;
    if (!(fabs(scaled) < 9e15)) {
        snprintf(text, size, "?");
        return;
    }
    long long whole = llround(scaled), unit = 1;
    for (int i = 0; i < digits; i++)
        unit *= 10;
    long long magnitude = whole < 0 ? -whole : whole;
    const char *sign = whole < 0 ? "\xe2\x88\x92" : "";
    if (digits > 0)
        snprintf(text, size, "%s%lld.%.*lld", sign, magnitude / unit, digits, magnitude % unit);
    else
        snprintf(text, size, "%s%lld", sign, magnitude);
}

/* mantissa times ten to the exponent, as "2.5e-7". */
static void scientific_text(double value, char *text, size_t size)
{
    int exponent = (int)floor(log10(fabs(value)) + 1e-9);
    double mantissa = value / pow(10, exponent);
    char front[16];
    cbm_number_text(mantissa, fabs(mantissa - round(mantissa)) < 1e-6 ? 0 : 1, front, sizeof front);
    snprintf(text, size, "%.12se%d", front, exponent);
}

double cbm_round_step(double low, double high, size_t wanted)
{
    double raw = (high - low) / (double)(wanted ? wanted : 1);
    if (!(raw > 0) || !isfinite(raw))
        return 1;
    double power = pow(10, floor(log10(raw)));
    static const double rounds[] = { 1, 2, 2.5, 5, 10 };
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++)
        if (raw <= rounds[i] * power * (1 + 1e-9))
            return rounds[i] * power;
    return 10 * power;
}

/* Digits after the point that a multiple of step needs. */
static int digits_of(double step)
{
    double v = step;
    int digits = 0;
    while (digits < 12 && fabs(v - round(v)) > 1e-6 * v) {
        v *= 10;
        digits++;
    }
    return digits;
}

static void add_tick(cbm_ticks *ticks, double at, double step)
{
    if (ticks->count == CBM_MAX_TICKS)
        return;
    char *text = ticks->label[ticks->count];
    size_t room = sizeof ticks->label[0];
    ticks->at[ticks->count++] = at;
    if (at == 0)
        snprintf(text, room, "0");
    else if (fabs(at) >= 1e7 || step < 1e-6)
        scientific_text(at, text, room);
    else
        cbm_number_text(at, digits_of(step), text, room);
}

void cbm_ticks_linear(double low, double high, size_t wanted, bool whole, cbm_ticks *ticks)
{
    ticks->count = 0;
    double step = cbm_round_step(low, high, wanted);
    if (whole && step < 1)
        step = 1;
    if (whole)
        step = round(step);
    double slack = 1e-9 * (high - low);
    double first = ceil((low - slack) / step), last = floor((high + slack) / step);
    for (double i = first; i <= last && ticks->count < CBM_MAX_TICKS; i++)
        add_tick(ticks, i * step, step);
}

void cbm_ticks_log(double low, double high, cbm_ticks *ticks)
{
    ticks->count = 0;
    int first = (int)floor(log10(low)), last = (int)ceil(log10(high));
    bool few = last - first <= 3;
    int stride = (last - first) / 8 + 1;
    for (int e = first; e <= last; e += few ? 1 : stride) {
        static const double parts[] = { 1, 2, 5 };
        for (int i = 0; i < (few ? 3 : 1); i++) {
            double at = parts[i] * pow(10, e);
            if (at >= low * (1 - 1e-9) && at <= high * (1 + 1e-9))
                add_tick(ticks, at, at);
        }
    }
}
