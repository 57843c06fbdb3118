// SPDX-License-Identifier: MIT
/* The exceptions of _errors.py, from -errno of the library. */
#include "pyl3l2q.h"

static const char *const class_names[ERROR_CLASSES] = {
	[ERROR] = "Error",
	[TIMEOUT] = "Timeout",
	[INTERRUPTED] = "Interrupted",
	[INVALID_ARGUMENT] = "InvalidArgument",
	[TOO_LARGE] = "TooLarge",
	[HANDLE_ERROR] = "HandleError",
	[BUSY_ERROR] = "BusyError",
	[UNAVAILABLE] = "Unavailable",
	[CLOSED] = "Closed",
	[NOT_PERMITTED] = "NotPermitted",
	[WRONG_PROCESS] = "WrongProcess",
	[PEER_DETACHED] = "PeerDetached",
	[PEER_ABORTED] = "PeerAborted",
	[ABORTED] = "Aborted",
	[PROTOCOL_ERROR] = "ProtocolError",
	[OWNERSHIP_ERROR] = "OwnershipError",
};

static const struct {
	int err;
	enum error_class class;
	const char *text;	/* NULL: the system's */
} meanings[] = {
	{ ETIMEDOUT, TIMEOUT, "the time-out passed" },
	{ EINTR, INTERRUPTED, "interrupted by Endpoint.interrupt()" },
	{ EINVAL, INVALID_ARGUMENT, NULL },
	{ ERANGE, INVALID_ARGUMENT, "outside the range" },
	{ E2BIG, INVALID_ARGUMENT, NULL },
	{ EMSGSIZE, TOO_LARGE, NULL },
	{ EBUSY, BUSY_ERROR, NULL },
	{ EPERM, NOT_PERMITTED, NULL },
	{ ENOENT, UNAVAILABLE, NULL },
	{ ENODEV, UNAVAILABLE, NULL },
	{ EACCES, UNAVAILABLE, NULL },
	{ EPROTONOSUPPORT, UNAVAILABLE, NULL },
	{ EOPNOTSUPP, UNAVAILABLE, "not on this transport or memory" },
	{ ESHUTDOWN, CLOSED, "this side has sent STOP or was detached" },
	{ EPIPE, PEER_DETACHED, "the other side has detached" },
	{ ECONNABORTED, PEER_ABORTED, "the other side aborted or died" },
	{ EIO, ABORTED, "this side was aborted or has failed" },
	{ EBADMSG, PROTOCOL_ERROR, "the other side broke the protocol" },
	{ EPROTO, PROTOCOL_ERROR, "the description was refused" },
	{ ESTALE, OWNERSHIP_ERROR, "a stale handle" },
};

/* Where the call makes the reason clear. */
static const struct {
	const char *op;
	int err;
	const char *text;
} reasons[] = {
	{ "open_peer", EBUSY, "the other end was handed out before: each region has one" },
	{ "open_peer", EPERM, "only the endpoint that created the region hands out the other end" },
	{ "notify", EINVAL, "offset is not a multiple of 4, or op is not a NotifyOp" },
	{ "notify", EPERM, "the other role writes this counter" },
	{ "test", EINVAL, "offset is not a multiple of 4, or cmp is not a Compare" },
	{ "wait_counter", EINVAL, "offset is not a multiple of 4, or cmp is not a Compare" },
	{ "load", EINVAL, "offset is not a multiple of 4" },
	{ "arm", EINVAL, "events is made of IN and OUT, and is 0 for a raw region" },
	{ "wait", EINVAL, "events is made of IN and OUT, and is 0 for a raw region" },
	{ "batch.__enter__", EINVAL, "a batch is open already" },
	{ "eventfd", EINVAL, "kind is not an EventFdKind, or fd is not an eventfd" },
};

PyObject *value_of(struct state *state, enum value_class class, unsigned long value)
{
	return PyObject_CallFunction(state->values[class], "k", value);
}

int errors_init(struct state *state)
{
	PyObject *module = PyImport_ImportModule("l3l2q._errors");
	int i;

	if (!module)
		return -1;
	for (i = 0; i < ERROR_CLASSES; i++) {
		state->errors[i] = PyObject_GetAttrString(module, class_names[i]);
		if (!state->errors[i])
			break;
	}
	Py_DECREF(module);
	return i == ERROR_CLASSES ? 0 : -1;
}

/* The endpoint's first error as a Failure, or None. */
PyObject *failure_of(struct endpoint *e)
{
	PyObject *kind, *binding = NULL, *failure = NULL;
	struct l3l2q_error error;

	if (!e || !e->ep || l3l2q_ep_error(e->ep, &error) || error.kind == L3L2Q_ERR_NONE)
		Py_RETURN_NONE;
	/* Each of these runs Python code, which may raise. */
	kind = value_of(e->state, ERROR_KIND, error.kind);
	if (kind)
		binding = value_of(e->state, BINDING, error.binding);
	if (binding)
		failure = PyObject_CallFunction(e->state->values[FAILURE], "OOK(KK)ss", kind, binding,
			(unsigned long long)error.region_id,
			(unsigned long long)error.identity[0],
			(unsigned long long)error.identity[1], error.op, error.message);
	Py_XDECREF(kind);
	Py_XDECREF(binding);
	return failure;
}

PyObject *raise_class(struct state *state, enum error_class class, struct endpoint *e,
		      const char *op, int err, const char *text)
{
	unsigned long long region_id = 0;
	struct l3l2q_ep_info info;
	PyObject *exception, *failure = failure_of(e);

	if (!failure)
		return NULL;
	if (e && e->ep && !l3l2q_ep_info(e->ep, &info))
		region_id = info.region_id;
	exception = PyObject_CallFunction(state->errors[class], "izsNK", err, text, op, failure,
					  region_id);
	if (exception) {
		PyErr_SetObject(state->errors[class], exception);
		Py_DECREF(exception);
		if (e && e->external)
			external_chain(e);
	}
	return NULL;
}

static const char *reason_of(const char *op, int err)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].err == err && !strcmp(reasons[i].op, op))
			return reasons[i].text;
	return NULL;
}

/* Of calls that send. Those that receive compare with the buffer, and say so. */
static PyObject *raise_too_large(struct endpoint *e, const char *op)
{
	struct l3l2q_ep_info info;
	uint64_t arena_bytes;
	char text[96];

	l3l2q_ep_info(e->ep, &info);
	arena_bytes = e->role == L3L2Q_ROLE_L3 ? info.layout.input_arena_bytes
					       : info.layout.output_arena_bytes;
	PyOS_snprintf(text, sizeof(text), "larger than the arena, which has %llu bytes",
		      (unsigned long long)arena_bytes);
	return raise_class(e->state, TOO_LARGE, e, op, EMSGSIZE, text);
}

PyObject *raise_error(struct state *state, struct endpoint *e, const char *op, int ret,
		      const char *text)
{
	size_t i;

	if (ret == -ENOMEM && !text)
		return PyErr_NoMemory();
	if (ret == -EMSGSIZE && e && !text)
		return raise_too_large(e, op);
	if (!text)
		text = reason_of(op, -ret);
	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].err == -ret)
			return raise_class(state, meanings[i].class, e, op, -ret,
					   text ? text : meanings[i].text);
	return raise_class(state, ERROR, e, op, -ret, text);
}
