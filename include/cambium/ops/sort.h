/* ops/sort.h: order along an axis: sorting, the k largest, distinct elements, places in sorted sequences, counts and
   histograms. NaN counts as greater than every number. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_SORT_H
#define CAMBIUM_OPS_SORT_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* x sorted along axis; *indices (NULL: not wanted): where each element was, i64. Equal elements keep their order, also
   descending. Any dtype; a scalar counts as a vector of one. Differentiable. */
CBM_API cbm_tensor *cbm_sort(cbm_tensor *x, int64_t axis, bool descending, cbm_tensor **indices);
CBM_API cbm_tensor *cbm_argsort(cbm_tensor *x, int64_t axis, bool descending); /* the indices alone */
/* The k largest (smallest: largest 0) elements along axis, (.., n, ..) -> (.., k, ..), and where they were; the best first,
   or, with sorted 0, in the order in which they lie in x. Of equal ones the first are taken. Differentiable. */
typedef struct cbm_topk_options {
    uint64_t struct_size;
    int64_t axis CBM_DEFAULT(-1);
    uint64_t largest CBM_DEFAULT(1);
    uint64_t sorted CBM_DEFAULT(1);
} cbm_topk_options;
CBM_API cbm_tensor *cbm_topk_with(cbm_tensor *x, int64_t k, cbm_tensor **indices, const cbm_topk_options *options);
/* The k-th smallest element along axis, k from 1; the axis goes. */
CBM_API cbm_tensor *cbm_kthvalue(cbm_tensor *x, int64_t k, int64_t axis, cbm_tensor **indices);

/* The distinct elements of x, sorted: (count). *inverse (NULL: not wanted): where each element of x is among them, i64 of
   x's shape; *counts: how often each occurs, i64 (count). Every NaN is distinct. The results' shape depends on x, which is
   evaluated at once, with all earlier pending effects. */
CBM_API cbm_tensor *cbm_unique(cbm_tensor *x, cbm_tensor **inverse, cbm_tensor **counts);

/* Where values belong in sorted sequences, i64 of values' shape: the number of elements that are less (right: or equal).
   sequences (n) and values of any shape; or sequences (.., n) and values (.., m) alike in the others. One dtype, numbers.
   bucketize: the same with values first, for one sequence. */
CBM_API cbm_tensor *cbm_searchsorted(cbm_tensor *sequences, cbm_tensor *values, bool right);
CBM_API cbm_tensor *cbm_bucketize(cbm_tensor *values, cbm_tensor *boundaries, bool right);

/* How often each number occurs in x, a vector of i64, i32 or u8, none negative: i64 (bins). weights (like x, f32 or f64):
   the sum of those of each number, in weights' dtype; differentiable. bins 0: as many as the greatest number in x asks for
   and at least minlength; then x is evaluated at once, with all earlier pending effects. Otherwise a number that is not
   below bins is an error when computed. */
typedef struct cbm_bincount_options {
    uint64_t struct_size;
    cbm_tensor *weights CBM_DEFAULT(0);
    int64_t bins CBM_DEFAULT(0);
    int64_t minlength CBM_DEFAULT(0);
} cbm_bincount_options;
CBM_API cbm_tensor *cbm_bincount_with(cbm_tensor *x, const cbm_bincount_options *options);

/* How many elements of x (f32 or f64) lie between edges[i] and edges[i + 1]: (bins), in x's dtype. A bin has its lower edge
   and not its upper one, the last bin has both; what lies outside, and NaN, is not counted. low and high: the range that bins
   equal bins divide; when they are equal (the default), from x's smallest to its greatest element (half a unit more at both
   ends if these are equal too). weights (like x): their sums for counts. density: divided by the sum over all bins and by the
   bins' widths. *edges (NULL: not wanted) gets the bins + 1 edges. histogram_edges: edges of one's own, which must not
   decrease (checked when computed). Not differentiable. */
typedef struct cbm_histogram_options {
    uint64_t struct_size;
    cbm_tensor *weights CBM_DEFAULT(0);
    double low CBM_DEFAULT(0);
    double high CBM_DEFAULT(0);
    uint64_t density CBM_DEFAULT(0);
} cbm_histogram_options;
CBM_API cbm_tensor *cbm_histogram_with(cbm_tensor *x, int64_t bins, cbm_tensor **edges,
                                       const cbm_histogram_options *options);
CBM_API cbm_tensor *cbm_histogram_edges_with(cbm_tensor *x, cbm_tensor *edges, const cbm_histogram_options *options);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_topk(x, 5, &indices, .axis = 1, .largest = 0) */
#define cbm_topk(...) cbm_at(CBM_TOPK_(__VA_ARGS__, .struct_size = sizeof(cbm_topk_options)), __FILE__, __LINE__)
#define CBM_TOPK_(x, k, indices, ...)                                                                                  \
    CBM_OPTIONS_(cbm_topk_options, cbm_topk_with(x, k, indices, &cbm_o_), .axis = -1, .largest = 1, .sorted = 1,       \
                 __VA_ARGS__)
/* cbm_bincount(x, .minlength = 10) */
#define cbm_bincount(...)                                                                                              \
    cbm_at(CBM_BINCOUNT_(__VA_ARGS__, .struct_size = sizeof(cbm_bincount_options)), __FILE__, __LINE__)
#define CBM_BINCOUNT_(x, ...)                                                                                          \
    CBM_OPTIONS_(cbm_bincount_options, cbm_bincount_with(x, &cbm_o_), .minlength = 0, __VA_ARGS__)
/* cbm_histogram(x, 10, &edges, .low = 0, .high = 1); cbm_histogram_edges(x, edges, .density = true) */
#define cbm_histogram(...)                                                                                             \
    cbm_at(CBM_HISTOGRAM_(__VA_ARGS__, .struct_size = sizeof(cbm_histogram_options)), __FILE__, __LINE__)
#define CBM_HISTOGRAM_(x, bins, edges, ...)                                                                            \
    CBM_OPTIONS_(cbm_histogram_options, cbm_histogram_with(x, bins, edges, &cbm_o_), .density = 0, __VA_ARGS__)
#define cbm_histogram_edges(...)                                                                                       \
    cbm_at(CBM_HISTOGRAM_EDGES_(__VA_ARGS__, .struct_size = sizeof(cbm_histogram_options)), __FILE__, __LINE__)
#define CBM_HISTOGRAM_EDGES_(x, edges, ...)                                                                            \
    CBM_OPTIONS_(cbm_histogram_options, cbm_histogram_edges_with(x, edges, &cbm_o_), .density = 0, __VA_ARGS__)
#else
CBM_CPP_OPTIONS_(cbm_topk, cbm_topk_options,
                 (cbm_tensor * x, int64_t k, cbm_tensor **indices, const cbm_topk_options &options = {}),
                 (x, k, indices, &o))
CBM_CPP_OPTIONS_(cbm_bincount, cbm_bincount_options, (cbm_tensor * x, const cbm_bincount_options &options = {}),
                 (x, &o))
CBM_CPP_OPTIONS_(cbm_histogram, cbm_histogram_options,
                 (cbm_tensor * x, int64_t bins, cbm_tensor **edges, const cbm_histogram_options &options = {}),
                 (x, bins, edges, &o))
CBM_CPP_OPTIONS_(cbm_histogram_edges, cbm_histogram_options,
                 (cbm_tensor * x, cbm_tensor *edges, const cbm_histogram_options &options = {}), (x, edges, &o))
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_sort(...) cbm_at(cbm_sort(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_argsort(...) cbm_at(cbm_argsort(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_kthvalue(...) cbm_at(cbm_kthvalue(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_unique(...) cbm_at(cbm_unique(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_searchsorted(...) cbm_at(cbm_searchsorted(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bucketize(...) cbm_at(cbm_bucketize(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
