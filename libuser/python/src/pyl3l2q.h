/* SPDX-License-Identifier: MIT */
/*
 * l3l2q._l3l2q: the library for Python.
 *
 * Locking. All fields below are changed with the GIL held, but for endpoint.inside. No
 * Python code runs between call_begin() and call_end(): arguments are converted before and
 * results are built after it. The exceptions are signal handlers, for which call_block()
 * leaves the call and enters it again, and copy functions in Python, which must not use
 * their endpoint (copying).
 *
 * Lifetime. endpoint.users counts what needs the library's endpoint: it being open, calls,
 * and views. The last one frees it, so that neither close() in another thread nor a view
 * that outlives the endpoint is a problem.
 */
#ifndef PYL3L2Q_H
#define PYL3L2Q_H

/* The limited API has buffers from 3.11. Free-threaded interpreters do not have it. */
#include <patchlevel.h>
#include <pyconfig.h>
#if PY_VERSION_HEX >= 0x030b0000 && !defined(Py_GIL_DISABLED) && !defined(L3L2Q_FULL_API)
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <l3l2q.h>

/* Bodies above this are copied with the GIL released. */
#define LARGE_BYTES 32768

/* ---- the module --------------------------------------------------------- */

/* Classes of _errors.py, by the errno of a call; see error_classes in errors.c. */
enum error_class {
	ERROR,
	TIMEOUT,
	INTERRUPTED,
	INVALID_ARGUMENT,
	TOO_LARGE,
	HANDLE_ERROR,
	BUSY_ERROR,
	UNAVAILABLE,
	CLOSED,
	NOT_PERMITTED,
	WRONG_PROCESS,
	PEER_DETACHED,
	PEER_ABORTED,
	ABORTED,
	PROTOCOL_ERROR,
	OWNERSHIP_ERROR,
	ERROR_CLASSES
};

/* Classes of _types.py. */
enum value_class {
	ROLE,
	OPCODE,
	ERROR_KIND,
	MEMORY,
	BINDING,
	EVENT,
	LAYOUT,
	INFO,
	STATS,
	FAILURE,
	VALUE_CLASSES
};

struct state {
	PyTypeObject *endpoint, *producer, *consumer, *message, *reservation, *batch, *cursors;
	PyTypeObject *received, *header;
	PyObject *errors[ERROR_CLASSES];
	PyObject *values[VALUE_CLASSES];
	PyObject *opcodes[L3L2Q_OP_ERROR + 1];
	PyObject *events[L3L2Q_EVENT_ALL + 1];	/* as calls of Event are slow */
	PyObject *main_thread;		/* threading.main_thread */
};

/* ---- objects ------------------------------------------------------------ */

/* A half is used by one thread at a time. */
struct half {
	PyObject *object;	/* Producer or Consumer, borrowed, or NULL */
	unsigned int bit;	/* in endpoint.interrupted */
	unsigned int budget;	/* calls of the library that a look may take */
	unsigned int misses;	/* looks that found nothing */
	bool busy;
};

struct message;
struct reservation;
struct external;

struct endpoint {
	PyObject_HEAD
	struct state *state;
	struct l3l2q_ep *ep;		/* NULL once freed */
	struct external *external;	/* what an external endpoint needs, or NULL */
	struct endpoint *prev, *next;	/* all endpoints, for fork */
	struct half tx, rx, any;
	int64_t look_ns;		/* longest look */
	Py_ssize_t users;		/* open, calls, views */
	Py_ssize_t views;
	int inside;			/* threads in the library; atomic */
	unsigned int interrupted;	/* interrupt() was called: bits of halves */
	unsigned int generation;	/* fork_generation of the process that made it */
	void *payload;			/* where it is mapped, which a child cannot ask */
	uint64_t payload_bytes;
	uint32_t role;
	bool closed;
	bool copied;
	struct message *last;		/* what the consumer's loop got, borrowed, or NULL */
	struct message *held;		/* list of messages that are held */
	uint32_t held_count;
	struct l3l2q_message *dropped;	/* messages to release that nobody has any more */
	size_t dropped_count, dropped_room;
	struct reservation *reservation; /* the active one, borrowed, or NULL */
	struct l3l2q_reservation cancelled;
	bool cancel;			/* cancelled is still to be cancelled */
	bool publish;			/* a batch that was dropped is to be published */
};

/* Producer and Consumer. */
struct half_object {
	PyObject_HEAD
	struct endpoint *e;
};

/* What exports the memory of a span: the start of messages and reservations. */
struct span {
	PyObject_HEAD
	struct endpoint *e;
	PyObject *view;			/* weak reference to what data returned, or NULL */
	Py_ssize_t exports;
};

struct message {
	struct span span;
	struct l3l2q_message m;
	PyObject *copy;			/* of copied memory, or NULL */
	PyObject *weak;			/* weak references */
	struct message *prev, *next;
	bool held;
};

struct reservation {
	struct span span;
	struct l3l2q_reservation r;
	int count;
	bool active;
};

struct batch {
	PyObject_HEAD
	struct endpoint *e;
	bool open;
};

/* ---- errors.c ------------------------------------------------------------ */

int errors_init(struct state *state);
/* All return NULL. @ret is -errno; @text may be NULL. */
PyObject *raise_error(struct state *state, struct endpoint *e, const char *op, int ret,
		      const char *text);
PyObject *raise_class(struct state *state, enum error_class class, struct endpoint *e,
		      const char *op, int err, const char *text);
PyObject *failure_of(struct endpoint *e);
/* A member of an enumeration. */
PyObject *value_of(struct state *state, enum value_class class, unsigned long value);

/* ---- arguments.c --------------------------------------------------------- */

/*
 * struct signature - the parameters of a function
 * @name: of the function
 * @names: of the parameters, then NULL
 * @positional: how many may be given without their name
 * @required: how many have to be given
 */
struct signature {
	const char *name;
	const char *const *names;
	Py_ssize_t positional;
	Py_ssize_t required;
};

#define PARAMETERS(variable, ...) static const char *const variable[] = { __VA_ARGS__, NULL }

/* Sort what METH_FASTCALL | METH_KEYWORDS passes into @out, NULL for what is missing. */
int parse(const struct signature *sig, PyObject *const *args, Py_ssize_t nargs,
	  PyObject *kwnames, PyObject **out);
int get_u64(PyObject *object, const char *name, uint64_t max, uint64_t *out);
int get_i32(PyObject *object, const char *name, int32_t *out);
int get_u32(PyObject *object, const char *name, uint32_t *out);
/* NULL stays as it is. */
int get_text(PyObject *object, const char *name, PyObject **keep, const char **out);

#define FOREVER INT64_MAX
/* Seconds to nanoseconds; None, inf and NULL are FOREVER. */
int get_timeout(PyObject *object, int64_t *ns);

/* struct body - bytes of a caller's object */
struct body {
	void *data;		/* NULL if there are none */
	size_t nbytes;
	Py_buffer view;
	PyObject *owner;	/* of a tensor */
	bool has_view;
};

int get_body(PyObject *object, const char *name, bool writable, struct body *body);
void put_body(struct body *body);

/* struct bodies - bytes of a sequence of objects */
struct bodies {
	struct body *body;
	int count;
};

int get_bodies(PyObject *sequence, const char *name, struct bodies *bodies);
void put_bodies(struct bodies *bodies);

/* ---- call.c -------------------------------------------------------------- */

extern unsigned int fork_generation;
/* struct copying - a copy function that this thread is in, and the one that it was called in */
struct copying {
	const struct external *x;
	const struct copying *outer;
};

extern _Thread_local const struct copying *copying;
/* True within a copy function of the endpoint. */
bool is_copying(const struct endpoint *e);

int calls_init(void);
void endpoint_link(struct endpoint *e);
void endpoint_unlink(struct endpoint *e);
void endpoint_use(struct endpoint *e);
void endpoint_unuse(struct endpoint *e);

bool endpoint_forked(const struct endpoint *e);
/* Begin a call, or raise. @half may be &e->any, which many threads may use. */
int call_begin(struct endpoint *e, struct half *half, const char *op);
int any_begin(struct endpoint *e, const char *op);
void call_end(struct endpoint *e, struct half *half);
/* End a call that returned @ret: 0, or raise and return -1 if that is -errno. */
int call_finish(struct endpoint *e, struct half *half, const char *op, int ret);

/* True if a call that copies @nbytes lets other threads run. */
bool call_is_long(const struct endpoint *e, size_t nbytes);

/*
 * A call into the library: @arg is its arguments and results. With a @timeout_ns of 0 it
 * makes one attempt.
 */
typedef int (*library_call)(struct endpoint *e, void *arg, int64_t timeout_ns);

#define RAISED INT32_MIN
/* Begins a call, or raises; again after the handlers of signals, which may change anything. */
typedef int (*call_beginner)(struct endpoint *e, const char *op);
/* Make a call in one attempt, with the GIL released if @is_long. */
int call_once(struct endpoint *e, library_call call, void *arg, bool is_long);
/*
 * Make one attempt, then block, for @timeout_ns at most. Return what the library does, or
 * RAISED, in which case the call has ended; call_finish() knows.
 */
int call_block(struct endpoint *e, struct half *half, const char *op, call_beginner begin,
	       library_call call, void *arg, bool is_long, int64_t timeout_ns);
/* The longest look by an attribute. */
int64_t look_ns(const struct l3l2q_attr *attr);
/* Whether one of the events is found to hold within a look. */
PyObject *call_look(struct endpoint *e, struct half *half, const char *op, uint32_t events);
/* Wait until no other thread is in the library for @e. */
void calls_wait(struct endpoint *e);

/* ---- endpoint.c ---------------------------------------------------------- */

extern PyType_Spec endpoint_spec;
PyObject *endpoint_new(struct state *state, struct l3l2q_ep *ep, struct external *external,
		       const struct l3l2q_attr *attr);
void endpoint_shut(struct endpoint *e);
PyObject *u64_tuple(const uint64_t *values, int n);

struct counter_call {
	uint64_t offset;
	uint32_t op;		/* of notify, or a comparison */
	int32_t value;
	int32_t observed;
};

int do_wait_counter(struct endpoint *e, void *arg, int64_t timeout_ns);

struct payload_call {
	uint64_t offset;
	void *data;
	size_t nbytes;
};

int do_payload_read(struct endpoint *e, void *arg, int64_t timeout_ns);

/* struct write_call - a body, if it has one, and the descriptor of it */
struct write_call {
	uint64_t slot;
	struct l3l2q_desc desc;
	const void *data;
};

int do_write_message(struct endpoint *e, void *arg, int64_t timeout_ns);

/* ---- cursors.c ------------------------------------------------------------- */

extern PyType_Spec cursors_spec;
/* Cursors whose memory is the endpoint's, and used by @thread alone unless that is 0. */
int cursors_bind(struct endpoint *e, PyObject *object, unsigned long thread);

/* ---- external.c ---------------------------------------------------------- */

PyObject *module_attach_external(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
				 PyObject *kwnames);
void external_free(struct external *x);
int external_traverse(const struct external *x, visitproc visit, void *arg);
/* Make what a copy function raised the cause of the exception that is set. */
void external_chain(struct endpoint *e);

/* ---- module.c ------------------------------------------------------------ */

/* How an endpoint behaves: the common parameters of create and attach. */
#define TUNING_NAMES "window", "spin", "nap", "silent_peer", "fenced"
#define TUNING_COUNT 5
int get_tuning(PyObject *const *values, struct l3l2q_attr *attr);
PyObject *no_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);

/* ---- producer.c, consumer.c, span.c -------------------------------------- */

extern PyType_Spec producer_spec, consumer_spec, message_spec, reservation_spec, batch_spec;

int half_traverse(PyObject *self, visitproc visit, void *arg);
PyObject *producer_new(struct endpoint *e);
/* End a reservation and a batch that were dropped while another thread was in this half. */
void finish_dropped(struct endpoint *e);
PyObject *consumer_new(struct endpoint *e);
PyObject *opcode_object(struct state *state, uint32_t opcode);

int span_refuse(const struct span *span, const char *ended);
/* Export @nbytes at @data. */
int span_export(struct span *span, Py_buffer *view, void *data, uint64_t nbytes, bool readonly,
		int flags);
void span_releasebuffer(PyObject *object, Py_buffer *view);
/* The memoryview that data returns, the same one while it lives. */
PyObject *span_view(struct span *span);
/* End that view. Raises BufferError, and returns -1, if others exist. */
int span_revoke(struct span *span);
void span_init(struct span *span, struct endpoint *e);
/* What a dealloc does last. */
void span_free(struct span *span);

#define OBJECT(pointer) ((PyObject *)(pointer))
#define METHOD(name, function, doc) \
	{ name, (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS, doc }
#define NOARGS(name, function, doc) { name, (PyCFunction)(function), METH_NOARGS, doc }
#define GETTER(name, function, doc) { name, (getter)(function), NULL, doc, NULL }

#endif /* PYL3L2Q_H */
