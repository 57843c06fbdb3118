// SPDX-License-Identifier: MIT
/* External memory: mapped by the caller, or reached by the caller's copy functions. */
#include "pyl3l2q.h"

/**
 * struct external - what an external endpoint needs until it is freed
 * @read: copy function in Python, or NULL
 * @write: likewise
 * @raised: the first exception of one of them, or NULL
 * @payload: the caller's buffer
 * @counters: likewise
 */
struct external {
	PyObject *read;
	PyObject *write;
	PyObject *raised;
	struct body payload;
	struct body counters;
};

void external_free(struct external *x)
{
	if (!x)
		return;
	Py_XDECREF(x->read);
	Py_XDECREF(x->write);
	Py_XDECREF(x->raised);
	put_body(&x->payload);
	put_body(&x->counters);
	PyMem_Free(x);
}

static int visit_body(const struct body *body, visitproc visit, void *arg)
{
	Py_VISIT(body->view.obj);
	Py_VISIT(body->owner);
	return 0;
}

int external_traverse(const struct external *x, visitproc visit, void *arg)
{
	Py_VISIT(x->read);
	Py_VISIT(x->write);
	Py_VISIT(x->raised);
	return visit_body(&x->payload, visit, arg) || visit_body(&x->counters, visit, arg);
}

/* ---- copy functions in Python --------------------------------------------- */

/* Keep what a copy function raised: -errno of it. */
static int keep_raised(struct external *x)
{
	PyObject *type, *value, *traceback, *number;
	long err = 0;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback)
		PyException_SetTraceback(value, traceback);
	number = PyObject_GetAttrString(value, "errno");
	if (number && PyLong_Check(number))
		err = PyLong_AsLong(number);
	PyErr_Clear();
	Py_XDECREF(number);
	Py_XDECREF(type);
	Py_XDECREF(traceback);
	if (x->raised)
		Py_DECREF(value);
	else
		x->raised = value;
	return err > 0 && err < 4096 ? (int)-err : -EIO;
}

/* What @copy needs around it, from a thread that may hold the GIL or not. */
static int in_python(struct external *x, int (*copy)(struct external *x, void *arg), void *arg)
{
	const struct copying within = { x, copying };
	PyObject *type, *value, *traceback;
	PyGILState_STATE gil;
	int ret = 0;

	if (!Py_IsInitialized())
		return -EIO;
	gil = PyGILState_Ensure();
	PyErr_Fetch(&type, &value, &traceback);
	copying = &within;
	if (copy(x, arg))
		ret = keep_raised(x);
	copying = within.outer;
	PyErr_Restore(type, value, traceback);
	PyGILState_Release(gil);
	return ret;
}

struct copy {
	uint32_t range;
	uint64_t offset;
	void *to;
	const void *from;
	size_t nbytes;
};

static int read_in_python(struct external *x, void *arg)
{
	struct copy *c = arg;
	struct body body;
	PyObject *result = PyObject_CallFunction(x->read, "IKn", c->range,
						 (unsigned long long)c->offset,
						 (Py_ssize_t)c->nbytes);
	int ret = -1;

	if (!result)
		return -1;
	if (!get_body(result, "read()'s result", false, &body)) {
		if (body.nbytes == c->nbytes) {
			memcpy(c->to, body.data, c->nbytes);
			ret = 0;
		} else {
			PyErr_Format(PyExc_ValueError, "read() returned %zu bytes, not %zu",
				     body.nbytes, c->nbytes);
		}
		put_body(&body);
	}
	Py_DECREF(result);
	return ret;
}

static int write_in_python(struct external *x, void *arg)
{
	struct copy *c = arg;
	PyObject *result = PyObject_CallFunction(x->write, "IKy#", c->range,
						 (unsigned long long)c->offset, c->from,
						 (Py_ssize_t)c->nbytes);

	Py_XDECREF(result);
	return result ? 0 : -1;
}

static int read_function(void *ctx, uint32_t range, uint64_t offset, void *to, size_t n)
{
	struct copy c = { .range = range, .offset = offset, .to = to, .nbytes = n };

	return in_python(ctx, read_in_python, &c);
}

static int write_function(void *ctx, uint32_t range, uint64_t offset, const void *from, size_t n)
{
	struct copy c = { .range = range, .offset = offset, .from = from, .nbytes = n };

	return in_python(ctx, write_in_python, &c);
}

/*
 * Make what a copy function raised the cause of the exception that is set. What is no
 * error, such as KeyboardInterrupt, takes its place.
 */
static void chain(struct external *x)
{
	PyObject *type, *value, *traceback;

	if (!x->raised)
		return;
	if (!PyObject_IsInstance(x->raised, PyExc_Exception)) {
		PyErr_SetObject((PyObject *)Py_TYPE(x->raised), x->raised);
		Py_CLEAR(x->raised);
		return;
	}
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	Py_INCREF(x->raised);
	PyException_SetCause(value, x->raised);
	PyErr_Restore(type, value, traceback);
}

void external_chain(struct endpoint *e)
{
	chain(e->external);
}

/* ---- arguments ------------------------------------------------------------ */

static int get_scalars(PyObject *sequence, struct l3l2q_external *ext)
{
	PyObject *tuple = PySequence_Tuple(sequence);
	Py_ssize_t i, n;
	int ret = 0;

	if (!tuple)
		return -1;
	n = PyTuple_Size(tuple);
	if (n != L3L2Q_SCALARS && n != L3L2Q_SPSQ_SCALARS) {
		PyErr_Format(PyExc_ValueError, "scalars: %d or %d were expected, not %zd",
			     L3L2Q_SCALARS, L3L2Q_SPSQ_SCALARS, n);
		ret = -1;
	}
	for (i = 0; !ret && i < n; i++)
		ret = get_u64(PyTuple_GetItem(tuple, i), "scalars", UINT64_MAX, &ext->scalars[i]);
	Py_DECREF(tuple);
	ext->scalar_count = (uint32_t)n;
	return ret;
}

/* An address, or a buffer of at least @nbytes. */
static int get_range(PyObject *object, const char *name, uint64_t nbytes, struct body *body,
		     void **out)
{
	uint64_t address = 0;

	if (!object || object == Py_None)
		return 0;
	if (PyIndex_Check(object)) {
		if (get_u64(object, name, UINTPTR_MAX, &address))
			return -1;
		*out = (void *)(uintptr_t)address;
		return 0;
	}
	if (get_body(object, name, true, body))
		return -1;
	if (body->nbytes < nbytes) {
		PyErr_Format(PyExc_ValueError, "%s: has %zu bytes, and the scalars say %llu", name,
			     body->nbytes, (unsigned long long)nbytes);
		return -1;
	}
	*out = body->data;
	return 0;
}

static int get_functions(PyObject *read, PyObject *write, PyObject *ctx, struct external *x,
			 struct l3l2q_external *ext)
{
	uint64_t read_address = 0, write_address = 0, context = 0;

	if (!read && !write)
		return 0;
	if (read && write && PyCallable_Check(read) && PyCallable_Check(write)) {
		Py_INCREF(read);
		Py_INCREF(write);
		x->read = read;
		x->write = write;
		ext->read = read_function;
		ext->write = write_function;
		ext->ctx = x;
		return 0;
	}
	if (!read || !write || !PyIndex_Check(read) || !PyIndex_Check(write)) {
		PyErr_SetString(PyExc_TypeError, "read, write: two callables or two addresses of C functions "
				"were expected");
		return -1;
	}
	if (get_u64(read, "read", UINTPTR_MAX, &read_address) ||
	    get_u64(write, "write", UINTPTR_MAX, &write_address) ||
	    get_u64(ctx, "ctx", UINTPTR_MAX, &context))
		return -1;
	if (!read_address || !write_address) {
		PyErr_SetString(PyExc_ValueError, "read, write: must not be 0");
		return -1;
	}
	memcpy(&ext->read, &read_address, sizeof(ext->read));
	memcpy(&ext->write, &write_address, sizeof(ext->write));
	ext->ctx = (void *)(uintptr_t)context;
	return 0;
}

static PyObject *none_as_missing(PyObject *object)
{
	return object == Py_None ? NULL : object;
}

enum {
	ARG_SCALARS, ARG_ROLE, ARG_PAYLOAD, ARG_COUNTERS, ARG_MEMORY, ARG_READ, ARG_WRITE, ARG_CTX,
	ARG_BUFFER_BYTES, ARG_TUNING, ARGS = ARG_TUNING + TUNING_COUNT
};

static int get_external(PyObject *const *values, struct external *x, struct l3l2q_external *ext,
			struct l3l2q_attr *attr)
{
	bool spsq;

	if (get_scalars(values[ARG_SCALARS], ext))
		return -1;
	spsq = ext->scalar_count == L3L2Q_SPSQ_SCALARS;
	ext->memory = none_as_missing(values[ARG_READ]) ? L3L2Q_MEMORY_COPIED : L3L2Q_MEMORY_CACHED;
	return get_u32(values[ARG_ROLE], "role", &ext->role) ||
	       get_u32(none_as_missing(values[ARG_MEMORY]), "memory", &ext->memory) ||
	       get_range(values[ARG_PAYLOAD], "payload", ext->scalars[spsq ? 4 : 3], &x->payload,
			 &ext->payload) ||
	       get_range(values[ARG_COUNTERS], "counters", ext->scalars[spsq ? 6 : 5],
			 &x->counters, &ext->counters) ||
	       get_functions(none_as_missing(values[ARG_READ]), none_as_missing(values[ARG_WRITE]),
			     values[ARG_CTX], x, ext) ||
	       get_u64(values[ARG_BUFFER_BYTES], "buffer_bytes", UINT64_MAX, &ext->buffer_bytes) ||
	       get_tuning(values + ARG_TUNING, attr);
}

PyObject *module_attach_external(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
				 PyObject *kwnames)
{
	PARAMETERS(names, "scalars", "role", "payload", "counters", "memory", "read", "write",
		   "ctx", "buffer_bytes", TUNING_NAMES);
	static const struct signature sig = { "attach_external", names, 1, 2 };
	struct external *x = PyMem_Calloc(1, sizeof(*x));
	struct state *state = PyModule_GetState(module);
	struct l3l2q_external ext = { 0 };
	struct l3l2q_attr attr = { 0 };
	struct l3l2q_failure why = { { 0 } };
	PyObject *values[ARGS];
	struct l3l2q_ep *ep;
	int ret;

	if (!x)
		return PyErr_NoMemory();
	if (parse(&sig, args, nargs, kwnames, values) || get_external(values, x, &ext, &attr)) {
		external_free(x);
		return NULL;
	}
	Py_BEGIN_ALLOW_THREADS
	ret = l3l2q_attach_external(&ep, &ext, &attr, &why);
	Py_END_ALLOW_THREADS
	if (!ret)
		return endpoint_new(state, ep, x, &attr);
	raise_error(state, NULL, sig.name, ret, why.text);
	chain(x);
	external_free(x);
	return NULL;
}
