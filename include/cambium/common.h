/* common.h: what every other header rests on: export and option macros, status codes, dtypes, shapes, version. */
#ifndef CAMBIUM_COMMON_H
#define CAMBIUM_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CBM_VERSION_MAJOR 0
#define CBM_VERSION_MINOR 1
#define CBM_VERSION_PATCH 0

#ifdef __cplusplus
#define CBM_BEGIN_DECLS extern "C" {
#define CBM_END_DECLS }
/* A field's default value: written in C++ (`double lr = 1e-3`), left out in C, where the option macros give it. */
#define CBM_DEFAULT(...) = __VA_ARGS__
#else
#define CBM_BEGIN_DECLS
#define CBM_END_DECLS
#define CBM_DEFAULT(...)
#endif

#if defined(_WIN32)
#define CBM_API
#else
#define CBM_API __attribute__((visibility("default")))
#endif
#define CBM_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

/* Named options: TYPE cbm_o_ = { defaults, the user's fields, struct_size }; then CALL, which takes &cbm_o_.
   A later initialiser overrides an earlier one on purpose, hence the silenced warnings. */
#define CBM_OPTIONS_(TYPE, CALL, ...)                                                                                  \
    __extension__({                                                                                                    \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"")                           \
            _Pragma("GCC diagnostic ignored \"-Wshadow\"") TYPE cbm_o_ = { __VA_ARGS__ };                              \
        _Pragma("GCC diagnostic pop") CALL;                                                                            \
    })

#ifdef __cplusplus
/* The same in C++: NAME(..., options = {}) calls NAME_with with &o, the options with their size. */
#define CBM_CPP_RESULT_(result, name, type, params, args)                                                              \
    static inline result *name params                                                                                  \
    {                                                                                                                  \
        type o = options;                                                                                              \
        o.struct_size = sizeof o;                                                                                      \
        return name##_with args;                                                                                       \
    }
#define CBM_CPP_OPTIONS_(name, type, params, args) CBM_CPP_RESULT_(cbm_tensor, name, type, params, args)
#endif

/* Ends the lists of cbm_sequential and its like. It is not NULL: a NULL in a list is an error, not its end. */
#define CBM_END ((cbm_module *)(uintptr_t)1)

CBM_BEGIN_DECLS

typedef struct cbm_context cbm_context; /* one world: scopes, graph, plans, errors; one thread at a time */
typedef struct cbm_scope cbm_scope;     /* owns the tensors made while it is the innermost one */
typedef struct cbm_tensor cbm_tensor;   /* a handle on a value, computed or still to be computed */
typedef struct cbm_module cbm_module;   /* a layer or a network */
typedef struct cbm_optimizer cbm_optimizer;
typedef struct cbm_dataset cbm_dataset;
typedef struct cbm_loader cbm_loader;

/* Fixed numbers: they may be stored and compared across versions. */
typedef enum cbm_status {
    CBM_OK = 0,
    CBM_ERROR_INVALID = 1,     /* an argument that makes no sense */
    CBM_ERROR_SHAPE = 2,       /* shapes that do not fit together */
    CBM_ERROR_DTYPE = 3,       /* element types that do not fit together */
    CBM_ERROR_RANGE = 4,       /* a value outside its range: a label, an index */
    CBM_ERROR_STATE = 5,       /* the right call at the wrong time */
    CBM_ERROR_UNSUPPORTED = 6, /* sensible, but this build or backend cannot do it */
    CBM_ERROR_MEMORY = 7,      /* no memory, or over the context's limit */
    CBM_ERROR_IO = 8,          /* the operating system refused to read or write */
    CBM_ERROR_FORMAT = 9,      /* a file is not what it says it is */
    CBM_ERROR_CALLBACK = 10,   /* a user's function reported failure */
    CBM_ERROR_CANCELLED = 11   /* cbm_cancel was called */
} cbm_status;

/* "shape error" and so on; static text. */
CBM_API const char *cbm_status_name(cbm_status status);

/* The library's version, "0.1.0", and the number major * 10000 + minor * 100 + patch. */
CBM_API const char *cbm_version(void);
CBM_API int64_t cbm_version_number(void);

typedef enum cbm_dtype {
    CBM_F32 = 0,
    CBM_F64 = 1,
    CBM_I64 = 2,
    CBM_I32 = 3,
    CBM_U8 = 4,
    CBM_BOOL = 5, /* one byte, 0 or 1 */
    CBM_BF16 = 6  /* bfloat16, the upper half of an f32; computed in f32, each result rounded to nearest even */
} cbm_dtype;
#define CBM_DTYPE_COUNT 7

/* Bytes of one element (0 for an unknown dtype), and the name: "f32", "f64", "i64", "i32", "u8", "bool", "bf16". */
CBM_API size_t cbm_dtype_size(cbm_dtype dtype);
CBM_API const char *cbm_dtype_name(cbm_dtype dtype);

#define CBM_MAX_DIMS 8

/* A list of up to 8 integers: a tensor's extents, or axes, strides, paddings. v[0] counts, v[1].. are the entries. */
typedef struct cbm_shape {
    int64_t v[1 + CBM_MAX_DIMS];
} cbm_shape;

#define CBM_COUNT_(...) ((int64_t)(sizeof((int64_t[]){ 0, __VA_ARGS__ }) / sizeof(int64_t)) - 1)
#ifdef __cplusplus
CBM_END_DECLS
#include <initializer_list>
static inline cbm_shape cbm_shape_of_list_(std::initializer_list<int64_t> list)
{
    cbm_shape s = {};
    s.v[0] = (int64_t)list.size();
    int i = 0;
    for (int64_t x : list)
        if (i < CBM_MAX_DIMS)
            s.v[++i] = x;
    return s;
}
#define CBM_SHAPE(...) (cbm_shape_of_list_({ __VA_ARGS__ }))
CBM_BEGIN_DECLS
#else
/* CBM_SHAPE(64, 1000); CBM_SHAPE() is a scalar's. A ninth entry is refused when the shape is used. */
#define CBM_SHAPE(...) ((cbm_shape){ { CBM_COUNT_(__VA_ARGS__), __VA_ARGS__ } })
#endif

/* The product of the entries; 1 for a scalar. -1 if the shape is not valid (rank, negative entry, overflow). */
CBM_API int64_t cbm_shape_count(const cbm_shape *shape);
CBM_API bool cbm_shape_equal(const cbm_shape *a, const cbm_shape *b);

CBM_END_DECLS

#endif
