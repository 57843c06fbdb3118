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
	{ ETIMEDOUT, TIMEOUT, NULL },
	{ EINTR, INTERRUPTED, "interrupted by Endpoint.interrupt()" },
	{ EINVAL, INVALID_ARGUMENT, NULL },
	{ ERANGE, INVALID_ARGUMENT, "outside the range" },
	{ E2BIG, INVALID_ARGUMENT, NULL },
	{ EMSGSIZE, TOO_LARGE, "larger than the arena, or than the buffer" },
	{ EBUSY, BUSY_ERROR, NULL },
	{ EPERM, NOT_PERMITTED, NULL },
	{ ENOENT, UNAVAILABLE, NULL },
	{ ENODEV, UNAVAILABLE, NULL },
	{ EACCES, UNAVAILABLE, NULL },
	{ EPROTONOSUPPORT, UNAVAILABLE, NULL },
	{ EOPNOTSUPP, UNAVAILABLE, "not on this transport or memory" },
	{ ESHUTDOWN, CLOSED, "this side has ended" },
	{ EPIPE, PEER_DETACHED, "the other side has detached" },
	{ ECONNABORTED, PEER_ABORTED, "the other side aborted or died" },
	{ EIO, ABORTED, "this side was aborted or has failed" },
	{ EBADMSG, PROTOCOL_ERROR, "the other side broke the protocol" },
	{ EPROTO, PROTOCOL_ERROR, "the description was refused" },
	{ ESTALE, OWNERSHIP_ERROR, "a stale handle" },
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

PyObject *raise_error(struct state *state, struct endpoint *e, const char *op, int ret,
		      const char *text)
{
	size_t i;

	if (ret == -ENOMEM && !text)
		return PyErr_NoMemory();
	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].err == -ret)
			return raise_class(state, meanings[i].class, e, op, -ret,
					   text ? text : meanings[i].text);
	return raise_class(state, ERROR, e, op, -ret, text);
}
