// SPDX-License-Identifier: MIT
/* Memoryviews of shared memory, which are counted. */
#include "pyl3l2q.h"

void span_init(struct span *span, struct endpoint *e)
{
	Py_INCREF(OBJECT(e));
	span->e = e;
}

void span_free(struct span *span)
{
	PyTypeObject *type = Py_TYPE(OBJECT(span));
	struct endpoint *e = span->e;

	Py_XDECREF(span->view);
	PyObject_Free(span);
	Py_DECREF(OBJECT(type));
	Py_XDECREF(OBJECT(e));
}

/* BufferError: the endpoint has ended, or the message or the reservation, as @ended says. */
int span_refuse(const struct span *span, const char *ended)
{
	if (span->e->closed)
		ended = "the endpoint is closed";
	else if (endpoint_forked(span->e))
		ended = "the endpoint belongs to the parent process";
	PyErr_SetString(PyExc_BufferError, ended);
	return -1;
}

int span_export(struct span *span, Py_buffer *view, void *data, uint64_t nbytes, bool readonly,
		int flags)
{
	static char nothing[1];

	if (PyBuffer_FillInfo(view, (PyObject *)span, nbytes ? data : nothing, (Py_ssize_t)nbytes,
			      readonly, flags))
		return -1;
	span->exports++;
	span->e->views++;
	endpoint_use(span->e);
	return 0;
}

void span_releasebuffer(PyObject *object, Py_buffer *view)
{
	struct span *span = (struct span *)object;

	(void)view;
	span->exports--;
	span->e->views--;
	endpoint_unuse(span->e);
}

/* A new reference to the memoryview that data returned last, or NULL. */
static PyObject *last_view(struct span *span)
{
	PyObject *view = span->view ? PyWeakref_GetObject(span->view) : NULL;

	if (!view || view == Py_None)
		return NULL;
	Py_INCREF(view);
	return view;
}

/* A memoryview that its user has released answers nothing. */
static bool is_alive(PyObject *view)
{
	PyObject *nbytes = PyObject_GetAttrString(view, "nbytes");

	PyErr_Clear();
	Py_XDECREF(nbytes);
	return nbytes;
}

PyObject *span_view(struct span *span)
{
	PyObject *view = last_view(span);

	if (view && is_alive(view))
		return view;
	Py_XDECREF(view);
	view = PyMemoryView_FromObject((PyObject *)span);
	if (!view)
		return NULL;
	Py_XDECREF(span->view);
	span->view = PyWeakref_NewRef(view, NULL);
	if (!span->view)
		Py_CLEAR(view);
	return view;
}

int span_revoke(struct span *span)
{
	PyObject *view = last_view(span), *result;

	if (view) {
		result = PyObject_CallMethod(view, "release", NULL);
		Py_DECREF(view);
		if (!result)
			return -1;
		Py_DECREF(result);
	}
	if (!span->exports)
		return 0;
	PyErr_Format(PyExc_BufferError,
		     "views of the memory are in use: %zd; release or delete them before",
		     span->exports);
	return -1;
}
