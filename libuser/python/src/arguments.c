// SPDX-License-Identifier: MIT
/* Python's arguments as C's. */
#include <math.h>

#include "pyl3l2q.h"

static Py_ssize_t find_name(const struct signature *sig, PyObject *name)
{
	Py_ssize_t i;

	for (i = 0; sig->names[i]; i++)
		if (PyUnicode_CompareWithASCIIString(name, sig->names[i]) == 0)
			return i;
	return -1;
}

int parse(const struct signature *sig, PyObject *const *args, Py_ssize_t nargs,
	  PyObject *kwnames, PyObject **out)
{
	Py_ssize_t i, at, named = kwnames ? PyTuple_Size(kwnames) : 0;
	PyObject *name;

	if (nargs > sig->positional) {
		PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional argument%s (%zd given)",
			     sig->name, sig->positional, sig->positional == 1 ? "" : "s", nargs);
		return -1;
	}
	for (i = 0; sig->names[i]; i++)
		out[i] = i < nargs ? args[i] : NULL;
	for (i = 0; i < named; i++) {
		name = PyTuple_GetItem(kwnames, i);
		at = find_name(sig, name);
		if (at < 0) {
			PyErr_Format(PyExc_TypeError, "%s() has no parameter '%U'", sig->name, name);
			return -1;
		}
		if (out[at]) {
			PyErr_Format(PyExc_TypeError, "%s() got '%s' twice", sig->name, sig->names[at]);
			return -1;
		}
		out[at] = args[nargs + i];
	}
	for (i = 0; i < sig->required; i++) {
		if (out[i])
			continue;
		PyErr_Format(PyExc_TypeError, "%s() needs '%s'", sig->name, sig->names[i]);
		return -1;
	}
	return 0;
}

/* ---- numbers and text ---------------------------------------------------- */

static PyObject *get_index(PyObject *object, const char *name)
{
	if (!PyIndex_Check(object)) {
		PyErr_Format(PyExc_TypeError, "%s: an int was expected, not %R", name,
			     (PyObject *)Py_TYPE(object));
		return NULL;
	}
	return PyNumber_Index(object);
}

/*
 * A conversion that raised, or whose result is outside of the range: say it in the
 * argument's terms.
 */
static int refuse_number(const char *name, const char *range)
{
	if (PyErr_Occurred()) {
		if (!PyErr_ExceptionMatches(PyExc_OverflowError))
			return -1;
		PyErr_Clear();
	}
	PyErr_Format(PyExc_ValueError, "%s: out of range, %s", name, range);
	return -1;
}

int get_u64(PyObject *object, const char *name, uint64_t max, uint64_t *out)
{
	unsigned long long value;
	PyObject *index;
	char range[40];

	if (!object)
		return 0;
	index = get_index(object, name);
	if (!index)
		return -1;
	value = PyLong_AsUnsignedLongLong(index);
	Py_DECREF(index);
	if (value <= max && (value != (unsigned long long)-1 || !PyErr_Occurred())) {
		*out = value;
		return 0;
	}
	PyOS_snprintf(range, sizeof(range), "0 ... %llu", (unsigned long long)max);
	return refuse_number(name, range);
}

int get_u32(PyObject *object, const char *name, uint32_t *out)
{
	uint64_t value = *out;

	if (get_u64(object, name, UINT32_MAX, &value))
		return -1;
	*out = (uint32_t)value;
	return 0;
}

int get_i32(PyObject *object, const char *name, int32_t *out)
{
	PyObject *index;
	long value;

	if (!object)
		return 0;
	index = get_index(object, name);
	if (!index)
		return -1;
	value = PyLong_AsLong(index);
	Py_DECREF(index);
	if (value < INT32_MIN || value > INT32_MAX || (value == -1 && PyErr_Occurred()))
		return refuse_number(name, "-2^31 ... 2^31-1");
	*out = (int32_t)value;
	return 0;
}

int get_text(PyObject *object, const char *name, PyObject **keep, const char **out)
{
	if (!object || object == Py_None)
		return 0;
	if (!PyUnicode_Check(object)) {
		PyErr_Format(PyExc_TypeError, "%s: a str was expected, not %R", name,
			     (PyObject *)Py_TYPE(object));
		return -1;
	}
	*keep = PyUnicode_AsUTF8String(object);
	if (!*keep)
		return -1;
	*out = PyBytes_AsString(*keep);
	if (strlen(*out) == (size_t)PyBytes_Size(*keep))
		return 0;
	PyErr_Format(PyExc_ValueError, "%s: has a NUL", name);
	return -1;
}

int get_timeout(PyObject *object, int64_t *ns)
{
	double seconds;

	*ns = FOREVER;
	if (!object || object == Py_None)
		return 0;
	seconds = PyFloat_AsDouble(object);
	if (seconds == -1.0 && PyErr_Occurred()) {
		if (PyErr_ExceptionMatches(PyExc_TypeError)) {
			PyErr_Clear();
			PyErr_Format(PyExc_TypeError, "timeout: seconds or None were expected, not %R",
				     (PyObject *)Py_TYPE(object));
		}
		return -1;
	}
	if (isnan(seconds) || seconds < 0) {
		PyErr_SetString(PyExc_ValueError, "timeout: has to be 0 or more seconds");
		return -1;
	}
	/* A positive time is at least a nanosecond: 0 means one attempt. */
	if (seconds < 9e9)
		*ns = (int64_t)ceil(seconds * 1e9);
	return 0;
}

/* ---- buffers ------------------------------------------------------------- */

/* An object refused its buffer: say which argument it is, and repeat why. */
static int refuse_buffer(PyObject *object, const char *name, bool writable)
{
	PyObject *type, *value, *traceback;
	Py_buffer view;

	if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_ValueError))
		return -1;
	PyErr_Fetch(&type, &value, &traceback);
	if (writable && !PyObject_GetBuffer(object, &view, PyBUF_C_CONTIGUOUS)) {
		PyBuffer_Release(&view);
		PyErr_Format(PyExc_BufferError, "%s: is read-only", name);
	} else {
		PyErr_Clear();
		PyErr_Format(PyExc_BufferError, "%s: a C-contiguous buffer was expected: %S", name,
			     value ? value : type);
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return -1;
}

/* An attribute, or NULL without an exception if there is none. */
static PyObject *attribute(PyObject *object, const char *name)
{
	PyObject *value = PyObject_GetAttrString(object, name);

	if (!value && PyErr_ExceptionMatches(PyExc_AttributeError))
		PyErr_Clear();
	return value;
}

/* 1 if the tensor is on the CPU, or does not say where it is; 0 if not; -1 raised. */
static int is_on_cpu(PyObject *tensor)
{
	PyObject *device = attribute(tensor, "device"), *type, *text;
	const char *place;
	int ret = -1;

	if (!device)
		return PyErr_Occurred() ? -1 : 1;
	type = attribute(device, "type");
	if (type || !PyErr_Occurred()) {
		text = PyObject_Str(type ? type : device);
		place = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
		if (place)
			ret = !strncmp(place, "cpu", 3);
		Py_XDECREF(text);
	}
	Py_XDECREF(type);
	Py_DECREF(device);
	return ret;
}

static int is_contiguous(PyObject *tensor)
{
	PyObject *method = attribute(tensor, "is_contiguous"), *answer;
	int ret;

	if (!method)
		return PyErr_Occurred() ? -1 : 1;
	answer = PyObject_CallNoArgs(method);
	Py_DECREF(method);
	if (!answer)
		return -1;
	ret = PyObject_IsTrue(answer);
	Py_DECREF(answer);
	return ret;
}

static int call_for_size(PyObject *object, const char *method, uint64_t *out)
{
	PyObject *value = PyObject_CallMethod(object, method, NULL);
	int ret;

	if (!value)
		return -1;
	ret = get_u64(value, method, PY_SSIZE_T_MAX, out);
	Py_DECREF(value);
	return ret;
}

static int tensor_bytes(PyObject *tensor, uint64_t *nbytes)
{
	PyObject *value = attribute(tensor, "nbytes");
	uint64_t count, size;
	int ret;

	if (value) {
		ret = get_u64(value, "nbytes", PY_SSIZE_T_MAX, nbytes);
		Py_DECREF(value);
		return ret;
	}
	if (PyErr_Occurred() || call_for_size(tensor, "numel", &count) ||
	    call_for_size(tensor, "element_size", &size))
		return -1;
	if (!__builtin_mul_overflow(count, size, nbytes))
		return 0;
	PyErr_SetString(PyExc_ValueError, "a tensor of more bytes than there can be");
	return -1;
}

static int get_tensor(PyObject *tensor, const char *name, struct body *body)
{
	uint64_t address = 0, nbytes = 0;
	int yes = is_on_cpu(tensor);

	if (yes == 0)
		PyErr_Format(PyExc_BufferError, "%s: the tensor is not on the CPU", name);
	if (yes > 0) {
		yes = is_contiguous(tensor);
		if (yes == 0)
			PyErr_Format(PyExc_BufferError, "%s: the tensor is not contiguous", name);
	}
	if (yes <= 0 || tensor_bytes(tensor, &nbytes) ||
	    call_for_size(tensor, "data_ptr", &address))
		return -1;
	if (nbytes && !address) {
		PyErr_Format(PyExc_ValueError, "%s: the tensor has no memory", name);
		return -1;
	}
	body->owner = tensor;
	Py_INCREF(tensor);
	body->data = nbytes ? (void *)(uintptr_t)address : NULL;
	body->nbytes = nbytes;
	return 0;
}

static int has_data_ptr(PyObject *object)
{
	PyObject *method = attribute(object, "data_ptr");
	bool callable = method && PyCallable_Check(method);

	Py_XDECREF(method);
	return PyErr_Occurred() ? -1 : callable;
}

int get_body(PyObject *object, const char *name, bool writable, struct body *body)
{
	int tensor;

	memset(body, 0, sizeof(*body));
	if (!object || object == Py_None)
		return 0;
	if (PyObject_CheckBuffer(object)) {
		if (PyObject_GetBuffer(object, &body->view,
				       PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0)))
			return refuse_buffer(object, name, writable);
		body->has_view = true;
		body->data = body->view.len ? body->view.buf : NULL;
		body->nbytes = (size_t)body->view.len;
		return 0;
	}
	tensor = has_data_ptr(object);
	if (tensor > 0)
		return get_tensor(object, name, body);
	if (!tensor)
		PyErr_Format(PyExc_TypeError,
			     "%s: a bytes-like object, a CPU tensor%s was expected, not %R", name,
			     writable ? "" : " or None", (PyObject *)Py_TYPE(object));
	return -1;
}

void put_body(struct body *body)
{
	if (body->has_view)
		PyBuffer_Release(&body->view);
	Py_XDECREF(body->owner);
}

int get_bodies(PyObject *sequence, const char *name, struct bodies *bodies)
{
	PyObject *tuple = NULL;
	Py_ssize_t n;

	bodies->count = 0;
	bodies->body = NULL;
	/* A str or bytes is a sequence too, but hardly meant as one. */
	if (!PyUnicode_Check(sequence) && !PyObject_CheckBuffer(sequence))
		tuple = PySequence_Tuple(sequence);
	if (!tuple) {
		if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_TypeError)) {
			PyErr_Clear();
			PyErr_Format(PyExc_TypeError, "%s: a sequence of bytes-like objects was expected, not %R",
				     name, (PyObject *)Py_TYPE(sequence));
		}
		return -1;
	}
	n = PyTuple_Size(tuple);
	if (n > INT32_MAX / 2)
		PyErr_Format(PyExc_ValueError, "%s: too many", name);
	else if (!(bodies->body = PyMem_Calloc(n ? (size_t)n : 1, sizeof(*bodies->body))))
		PyErr_NoMemory();
	while (!PyErr_Occurred() && bodies->count < n)
		if (!get_body(PyTuple_GetItem(tuple, bodies->count), name, false,
			      &bodies->body[bodies->count]))
			bodies->count++;
	Py_DECREF(tuple);
	if (!PyErr_Occurred())
		return 0;
	put_bodies(bodies);
	return -1;
}

void put_bodies(struct bodies *bodies)
{
	while (bodies->count)
		put_body(&bodies->body[--bodies->count]);
	PyMem_Free(bodies->body);
	bodies->body = NULL;
}
