/* pickle.c: see pickle.h. The opcodes are those of Python's pickletools, protocols 2 to 5, as far as files of weights have
   them. */
#include "io/pickle.h"
#include <stdio.h>
#include <string.h>

enum { MOST_VALUES = 8 << 20 };

/* ---- what may be named ---- */

typedef enum global { DICTIONARY, REBUILD, REBUILD_TYPED, REBUILD_PARAMETER, SIZE, STORAGE_TYPE, DTYPE } global;

static const struct {
    const char *module, *name;
    global is;
    const char *type; /* of STORAGE_TYPE and DTYPE: as safetensors names it; NULL: untyped */
} globals[] = {
    { "collections", "OrderedDict", DICTIONARY, NULL },
    { "torch._utils", "_rebuild_tensor", REBUILD, NULL },
    { "torch._utils", "_rebuild_tensor_v2", REBUILD, NULL },
    { "torch._utils", "_rebuild_tensor_v3", REBUILD_TYPED, NULL },
    { "torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, NULL },
    { "torch", "Size", SIZE, NULL },
    { "torch", "FloatStorage", STORAGE_TYPE, "F32" },
    { "torch", "DoubleStorage", STORAGE_TYPE, "F64" },
    { "torch", "HalfStorage", STORAGE_TYPE, "F16" },
    { "torch", "BFloat16Storage", STORAGE_TYPE, "BF16" },
    { "torch", "LongStorage", STORAGE_TYPE, "I64" },
    { "torch", "IntStorage", STORAGE_TYPE, "I32" },
    { "torch", "ShortStorage", STORAGE_TYPE, "I16" },
    { "torch", "CharStorage", STORAGE_TYPE, "I8" },
    { "torch", "ByteStorage", STORAGE_TYPE, "U8" },
    { "torch", "BoolStorage", STORAGE_TYPE, "BOOL" },
    { "torch.storage", "UntypedStorage", STORAGE_TYPE, NULL },
    { "torch", "UntypedStorage", STORAGE_TYPE, NULL },
    { "torch", "float32", DTYPE, "F32" },
    { "torch", "float64", DTYPE, "F64" },
    { "torch", "float16", DTYPE, "F16" },
    { "torch", "bfloat16", DTYPE, "BF16" },
    { "torch", "int64", DTYPE, "I64" },
    { "torch", "int32", DTYPE, "I32" },
    { "torch", "int16", DTYPE, "I16" },
    { "torch", "int8", DTYPE, "I8" },
    { "torch", "uint8", DTYPE, "U8" },
    { "torch", "bool", DTYPE, "BOOL" },
    { "torch", "uint16", DTYPE, "U16" },
    { "torch", "uint32", DTYPE, "U32" },
};
enum { GLOBALS = sizeof globals / sizeof *globals };

typedef struct text {
    const char *at;
    size_t length;
} text;

static bool is_text(text t, const char *name)
{
    return strlen(name) == t.length && memcmp(t.at, name, t.length) == 0;
}

/* ---- the machine ---- */

typedef struct machine {
    cbm_pickle *p;
    const uint8_t *at, *end;
    cbm_problem *problem;
} machine;

static bool refuse(machine *m, const char *what)
{
    cbm_refuse(m->problem, CBM_ERROR_FORMAT, "its pickle is damaged: %s", what);
    return false;
}

static bool no_memory(machine *m)
{
    cbm_refuse(m->problem, CBM_ERROR_MEMORY, "no memory for its pickle");
    return false;
}

static cbm_pickle_value *value_at(machine *m, int32_t i)
{
    return &CBM_AT(&m->p->values, cbm_pickle_value, i);
}

/* The number of a new value; -1: reported. */
static int32_t make(machine *m, cbm_pickle_kind kind, int64_t number)
{
    const cbm_pickle_value v = { .kind = kind, .first = -1, .last = -1, .number = number };
    if (m->p->values.count >= MOST_VALUES) {
        refuse(m, "it holds too many values");
        return -1;
    }
    if (cbm_array_push(&m->p->values, &v))
        return (int32_t)m->p->values.count - 1;
    no_memory(m);
    return -1;
}

static bool push(machine *m, int32_t value)
{
    return value >= 0 && (cbm_array_push(&m->p->stack, &value) || no_memory(m));
}

static bool push_new(machine *m, cbm_pickle_kind kind, int64_t number)
{
    return push(m, make(m, kind, number));
}

static bool push_text(machine *m, size_t length)
{
    if (length > (size_t)(m->end - m->at))
        return refuse(m, "a text ends behind it");
    const int32_t v = make(m, CBM_PICKLE_TEXT, 0);
    if (v < 0)
        return false;
    value_at(m, v)->text = (const char *)m->at;
    value_at(m, v)->length = length;
    m->at += length;
    return push(m, v);
}

static bool pop(machine *m, int32_t *value)
{
    if (m->p->stack.count == 0)
        return refuse(m, "it takes what is not there");
    *value = CBM_AT(&m->p->stack, int32_t, --m->p->stack.count);
    return true;
}

static bool top(machine *m, int32_t *value)
{
    return pop(m, value) && (m->p->stack.count++, true);
}

static bool pop_kind(machine *m, cbm_pickle_kind kind, int32_t *value)
{
    return pop(m, value) && (value_at(m, *value)->kind == kind || refuse(m, "a value is not what it should be"));
}

static bool append(machine *m, int32_t container, int32_t value)
{
    const cbm_pickle_link link = { value, -1 };
    if (!cbm_array_push(&m->p->links, &link))
        return no_memory(m);
    const int32_t number = (int32_t)m->p->links.count - 1;
    cbm_pickle_value *c = value_at(m, container);
    if (c->last >= 0)
        CBM_AT(&m->p->links, cbm_pickle_link, c->last).next = number;
    else
        c->first = number;
    c->last = number;
    c->count++;
    return true;
}

/* Where on the stack the last mark is. */
static bool find_mark(machine *m, size_t *place)
{
    for (size_t i = m->p->stack.count; i-- > 0;)
        if (value_at(m, CBM_AT(&m->p->stack, int32_t, i))->kind == CBM_PICKLE_MARK) {
            *place = i;
            return true;
        }
    return refuse(m, "a mark is missing");
}

/* What is on the stack from `from` on goes into the container. */
static bool gather(machine *m, size_t from, int32_t container)
{
    bool ok = container >= 0;
    for (size_t i = from; i < m->p->stack.count && ok; i++)
        ok = append(m, container, CBM_AT(&m->p->stack, int32_t, i));
    m->p->stack.count = from;
    return ok;
}

/* A container of what stands behind the last mark, in its place. */
static bool gather_new(machine *m, cbm_pickle_kind kind)
{
    size_t mark;
    if (!find_mark(m, &mark))
        return false;
    const int32_t container = make(m, kind, 0);
    if (!gather(m, mark + 1, container))
        return false;
    m->p->stack.count = mark;
    if (kind == CBM_PICKLE_DICT && value_at(m, container)->count % 2)
        return refuse(m, "a key has no value");
    return push(m, container);
}

/* What stands behind the last mark goes into the container before it. */
static bool gather_into(machine *m, cbm_pickle_kind kind)
{
    size_t mark;
    if (!find_mark(m, &mark) || mark == 0)
        return refuse(m, "a container is missing");
    const int32_t container = CBM_AT(&m->p->stack, int32_t, mark - 1);
    if (value_at(m, container)->kind != kind || (kind == CBM_PICKLE_DICT && (m->p->stack.count - mark - 1) % 2))
        return refuse(m, "a container is not what it should be");
    const bool ok = gather(m, mark + 1, container);
    m->p->stack.count = ok ? mark : m->p->stack.count;
    return ok;
}

static bool tuple_of(machine *m, size_t count)
{
    if (m->p->stack.count < count)
        return refuse(m, "it takes what is not there");
    const int32_t tuple = make(m, CBM_PICKLE_TUPLE, 0);
    return gather(m, m->p->stack.count - count, tuple) && push(m, tuple);
}

/* Members 0 to most - 1 of a tuple; false: fewer than least. */
static bool members_of(machine *m, int32_t tuple, int32_t *members, int32_t least, int32_t most)
{
    const cbm_pickle_value *t = value_at(m, tuple);
    if (t->kind != CBM_PICKLE_TUPLE || t->count < least)
        return refuse(m, "a tuple is not what it should be");
    int32_t n = 0;
    for (const cbm_pickle_link *l = cbm_pickle_link_at(m->p, t->first); l && n < most;
         l = cbm_pickle_link_at(m->p, l->next))
        members[n++] = l->value;
    while (n < most)
        members[n++] = -1;
    return true;
}

static bool number_of(machine *m, int32_t value, int64_t *number)
{
    if (value < 0 || value_at(m, value)->kind != CBM_PICKLE_NUMBER)
        return refuse(m, "a number is missing");
    *number = value_at(m, value)->number;
    return true;
}

/* ---- globals, storages, tensors ---- */

static bool push_global(machine *m, text module, text name)
{
    for (int i = 0; i < GLOBALS; i++)
        if (is_text(module, globals[i].module) && is_text(name, globals[i].name))
            return push_new(m, CBM_PICKLE_GLOBAL, i);
    char both[CBM_SHOWN], shown[CBM_SHOWN];
    snprintf(both, sizeof both, "%.*s.%.*s", (int)(module.length < 40 ? module.length : 40), module.at,
             (int)(name.length < 40 ? name.length : 40), name.at);
    return cbm_refuse(m->problem, CBM_ERROR_UNSUPPORTED,
                      "it wants to call '%s', which no file of weights needs. Nothing was executed. HINT: in PyTorch, "
                      "torch.save(model.state_dict(), path)",
                      cbm_shown(both, shown));
}

static bool take_line(machine *m, text *line)
{
    const uint8_t *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!end)
        return refuse(m, "a name does not end");
    *line = (text){ (const char *)m->at, (size_t)(end - m->at) };
    m->at = end + 1;
    return true;
}

static bool stack_global(machine *m)
{
    int32_t name, module;
    if (!pop_kind(m, CBM_PICKLE_TEXT, &name) || !pop_kind(m, CBM_PICKLE_TEXT, &module))
        return false;
    const cbm_pickle_value *n = value_at(m, name), *o = value_at(m, module);
    return push_global(m, (text){ o->text, o->length }, (text){ n->text, n->length });
}

/* ('storage', type, key, where, elements[, view]) */
static bool push_storage(machine *m)
{
    int32_t tuple, part[6];
    cbm_pickle_storage s = { 0 };
    if (!pop(m, &tuple) || !members_of(m, tuple, part, 5, 6) || !number_of(m, part[4], &s.count))
        return false;
    const cbm_pickle_value *word = value_at(m, part[0]), *type = value_at(m, part[1]), *key = value_at(m, part[2]);
    if (word->kind != CBM_PICKLE_TEXT || !is_text((text){ word->text, word->length }, "storage") ||
        type->kind != CBM_PICKLE_GLOBAL || globals[type->number].is != STORAGE_TYPE || key->kind != CBM_PICKLE_TEXT ||
        s.count < 0)
        return refuse(m, "a storage is not described as it should be");
    if (part[5] >= 0 && value_at(m, part[5])->kind != CBM_PICKLE_NONE)
        return cbm_refuse(m->problem, CBM_ERROR_UNSUPPORTED, "it holds views of storages, as PyTorch before 0.4 wrote");
    s.type = globals[type->number].type ? cbm_stored_safetensors(globals[type->number].type) : NULL;
    s.key = key->text;
    s.length = key->length;
    if (!cbm_array_push(&m->p->storages, &s))
        return no_memory(m);
    return push_new(m, CBM_PICKLE_STORAGE, (int64_t)m->p->storages.count - 1);
}

static bool extents_of(machine *m, int32_t tuple, cbm_shape *out)
{
    const cbm_pickle_value *t = value_at(m, tuple);
    *out = (cbm_shape){ { 0 } };
    if ((t->kind != CBM_PICKLE_TUPLE && t->kind != CBM_PICKLE_LIST))
        return refuse(m, "a tensor's extents are missing");
    if (t->count > CBM_MAX_DIMS)
        return cbm_refuse(m->problem, CBM_ERROR_UNSUPPORTED, "it holds a tensor of %d dimensions; %d are possible",
                          (int)t->count, CBM_MAX_DIMS);
    for (const cbm_pickle_link *l = cbm_pickle_link_at(m->p, t->first); l; l = cbm_pickle_link_at(m->p, l->next))
        if (!number_of(m, l->value, &out->v[++out->v[0]]) || out->v[out->v[0]] < 0)
            return refuse(m, "an extent is negative or no number");
    return true;
}

/* (storage, offset, extents, strides, ...); typed: member 6 is the dtype. */
static bool rebuild(machine *m, int32_t arguments, bool typed)
{
    int32_t part[7];
    cbm_pickle_tensor t = { 0 };
    if (!members_of(m, arguments, part, typed ? 7 : 4, 7))
        return false;
    const cbm_pickle_value *storage = value_at(m, part[0]);
    if (storage->kind != CBM_PICKLE_STORAGE)
        return refuse(m, "a tensor has no storage");
    t.storage = (int32_t)storage->number;
    t.type = CBM_AT(&m->p->storages, cbm_pickle_storage, t.storage).type;
    if (typed) {
        const cbm_pickle_value *dtype = value_at(m, part[6]);
        if (dtype->kind != CBM_PICKLE_GLOBAL || globals[dtype->number].is != DTYPE)
            return refuse(m, "a tensor has no dtype");
        t.type = cbm_stored_safetensors(globals[dtype->number].type);
    }
    if (!t.type)
        return refuse(m, "a tensor has no dtype");
    if (!number_of(m, part[1], &t.offset) || !extents_of(m, part[2], &t.shape) || !extents_of(m, part[3], &t.stride))
        return false;
    if (t.offset < 0 || t.shape.v[0] != t.stride.v[0])
        return refuse(m, "a tensor lies where there is nothing");
    if (!cbm_array_push(&m->p->tensors, &t))
        return no_memory(m);
    return push_new(m, CBM_PICKLE_TENSOR, (int64_t)m->p->tensors.count - 1);
}

/* An OrderedDict, empty or of pairs. */
static bool dictionary(machine *m, int32_t arguments)
{
    int32_t pairs[1];
    if (!members_of(m, arguments, pairs, 0, 1))
        return false;
    const int32_t dict = make(m, CBM_PICKLE_DICT, 0);
    if (dict < 0)
        return false;
    int32_t link = pairs[0] < 0 ? -1 : value_at(m, pairs[0])->first;
    while (link >= 0) {
        const cbm_pickle_link l = *cbm_pickle_link_at(m->p, link);
        const cbm_pickle_value *pair = value_at(m, l.value);
        if ((pair->kind != CBM_PICKLE_TUPLE && pair->kind != CBM_PICKLE_LIST) || pair->count != 2)
            return refuse(m, "a dictionary is not made of pairs");
        const cbm_pickle_link *key = cbm_pickle_link_at(m->p, pair->first);
        const int32_t k = key->value, v = cbm_pickle_link_at(m->p, key->next)->value;
        if (!append(m, dict, k) || !append(m, dict, v))
            return false;
        link = l.next;
    }
    return push(m, dict);
}

static bool reduce(machine *m)
{
    int32_t arguments, function, inner[1];
    if (!pop_kind(m, CBM_PICKLE_TUPLE, &arguments) || !pop_kind(m, CBM_PICKLE_GLOBAL, &function))
        return false;
    switch (globals[value_at(m, function)->number].is) {
    case DICTIONARY: return dictionary(m, arguments);
    case REBUILD: return rebuild(m, arguments, false);
    case REBUILD_TYPED: return rebuild(m, arguments, true);
    case REBUILD_PARAMETER:
        if (!members_of(m, arguments, inner, 1, 1))
            return false;
        return value_at(m, inner[0])->kind == CBM_PICKLE_TENSOR ? push(m, inner[0])
                                                                : refuse(m, "a parameter is no tensor");
    case SIZE: return members_of(m, arguments, inner, 1, 1) && push(m, inner[0]);
    default: return refuse(m, "it calls a type");
    }
}

/* Attributes of a dictionary: _metadata, of no interest. */
static bool build(machine *m)
{
    int32_t attributes, object;
    return pop(m, &attributes) && top(m, &object) &&
           (value_at(m, object)->kind == CBM_PICKLE_DICT || refuse(m, "it gives attributes to a value"));
}

/* ---- memory of the machine ---- */

static bool remember(machine *m, size_t number)
{
    int32_t value;
    const int32_t none = -1;
    if (!top(m, &value))
        return false;
    if (number >= MOST_VALUES)
        return refuse(m, "it remembers too much");
    while (m->p->memo.count <= number)
        if (!cbm_array_push(&m->p->memo, &none))
            return no_memory(m);
    CBM_AT(&m->p->memo, int32_t, number) = value;
    return true;
}

static bool recall(machine *m, size_t number)
{
    return number < m->p->memo.count && CBM_AT(&m->p->memo, int32_t, number) >= 0
               ? push(m, CBM_AT(&m->p->memo, int32_t, number))
               : refuse(m, "it recalls what it does not remember");
}

/* ---- opcodes ---- */

static bool take(machine *m, size_t bytes, uint64_t *out)
{
    if (bytes > (size_t)(m->end - m->at))
        return refuse(m, "it is cut off");
    *out = 0;
    for (size_t i = 0; i < bytes; i++)
        *out |= (uint64_t)m->at[i] << 8 * i;
    m->at += bytes;
    return true;
}

/* A whole number of n bytes; longer ones than 8 (the old form's magic number) are of no interest. */
static bool push_long(machine *m, uint64_t n)
{
    if (n > (size_t)(m->end - m->at))
        return refuse(m, "a number ends behind it");
    uint64_t bits = n > 0 && n <= 8 && m->at[n - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < n && n <= 8; i++)
        bits = (bits & ~((uint64_t)0xff << 8 * i)) | (uint64_t)m->at[i] << 8 * i;
    m->at += n;
    return push_new(m, CBM_PICKLE_NUMBER, (int64_t)bits);
}

/* One opcode behind which a number of so many bytes stands. */
static bool step_with_number(machine *m, int code, uint64_t n)
{
    switch (code) {
    case 0x80: return n >= 2 && n <= 5 ? true : refuse(m, "its protocol is unknown");
    case 0x95: return true; /* FRAME */
    case 'q':
    case 'r': return remember(m, (size_t)n);
    case 'h':
    case 'j': return recall(m, (size_t)n);
    case 'X':
    case 'U':
    case 'C':
    case 'B':
    case 'T':
    case 0x8c:
    case 0x8d: return n <= SIZE_MAX / 2 && push_text(m, (size_t)n);
    case 'J': return push_new(m, CBM_PICKLE_NUMBER, (int32_t)(uint32_t)n);
    case 'K':
    case 'M': return push_new(m, CBM_PICKLE_NUMBER, (int64_t)n);
    case 'G': return push_new(m, CBM_PICKLE_FLOAT, 0);
    default: return push_long(m, n); /* LONG1, LONG4 */
    }
}

static size_t bytes_behind(int code)
{
    switch (code) {
    case 0x80:
    case 'q':
    case 'h':
    case 'K':
    case 'U':
    case 'C':
    case 0x8c:
    case 0x8a: return 1;
    case 'M': return 2;
    case 'r':
    case 'j':
    case 'X':
    case 'B':
    case 'T':
    case 'J':
    case 0x8b: return 4;
    case 0x8d:
    case 'G':
    case 0x95: return 8;
    default: return 0;
    }
}

static bool step(machine *m, int code)
{
    text module, name;
    int32_t value, key, dict;
    const size_t behind = bytes_behind(code);
    uint64_t n;
    if (behind)
        return take(m, behind, &n) && step_with_number(m, code, n);
    switch (code) {
    case '(': return push_new(m, CBM_PICKLE_MARK, 0);
    case 'N': return push_new(m, CBM_PICKLE_NONE, 0);
    case 0x88:
    case 0x89: return push_new(m, CBM_PICKLE_NUMBER, code == 0x88);
    case '}': return push_new(m, CBM_PICKLE_DICT, 0);
    case ']': return push_new(m, CBM_PICKLE_LIST, 0);
    case ')': return push_new(m, CBM_PICKLE_TUPLE, 0);
    case 't': return gather_new(m, CBM_PICKLE_TUPLE);
    case 'l': return gather_new(m, CBM_PICKLE_LIST);
    case 'd': return gather_new(m, CBM_PICKLE_DICT);
    case 'e': return gather_into(m, CBM_PICKLE_LIST);
    case 'u': return gather_into(m, CBM_PICKLE_DICT);
    case 0x85:
    case 0x86:
    case 0x87: return tuple_of(m, (size_t)code - 0x84);
    case 'a':
        return pop(m, &value) && top(m, &dict) &&
               (value_at(m, dict)->kind == CBM_PICKLE_LIST ? append(m, dict, value) : refuse(m, "a list is missing"));
    case 's':
        return pop(m, &value) && pop(m, &key) && top(m, &dict) &&
               (value_at(m, dict)->kind == CBM_PICKLE_DICT || refuse(m, "a dictionary is missing")) &&
               append(m, dict, key) && append(m, dict, value);
    case 'c': return take_line(m, &module) && take_line(m, &name) && push_global(m, module, name);
    case 0x93: return stack_global(m);
    case 0x94: return remember(m, m->p->memo.count);
    case 'Q': return push_storage(m);
    case 0x81: /* NEWOBJ: of a class it is a call */
    case 'R': return reduce(m);
    case 'b': return build(m);
    case '0': return pop(m, &value);
    default:
        return cbm_refuse(m->problem, CBM_ERROR_UNSUPPORTED,
                          "its pickle has opcode 0x%02x, which files of weights do not need", (unsigned)code);
    }
}

cbm_pickle cbm_pickle_begin(cbm_heap *heap)
{
    return (cbm_pickle){ .values = CBM_ARRAY(heap, cbm_pickle_value),
                         .links = CBM_ARRAY(heap, cbm_pickle_link),
                         .stack = CBM_ARRAY(heap, int32_t),
                         .memo = CBM_ARRAY(heap, int32_t),
                         .storages = CBM_ARRAY(heap, cbm_pickle_storage),
                         .tensors = CBM_ARRAY(heap, cbm_pickle_tensor) };
}

void cbm_pickle_end(cbm_pickle *p)
{
    cbm_array_free(&p->values);
    cbm_array_free(&p->links);
    cbm_array_free(&p->stack);
    cbm_array_free(&p->memo);
    cbm_array_free(&p->storages);
    cbm_array_free(&p->tensors);
}

bool cbm_pickle_read(cbm_pickle *p, const uint8_t *bytes, size_t size, size_t *used, int32_t *value,
                     cbm_problem *problem)
{
    machine m = { p, bytes, bytes + size, problem };
    p->stack.count = p->memo.count = 0;
    while (m.at < m.end) {
        const int code = *m.at++;
        if (code == '.') {
            *used = (size_t)(m.at - bytes);
            return pop(&m, value);
        }
        if (!step(&m, code))
            return false;
    }
    return refuse(&m, "it is cut off");
}
