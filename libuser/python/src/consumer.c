// SPDX-License-Identifier: MIT
/* Consumer and Message: receiving. */
#include "pyl3l2q.h"
#include <l3l2q/core.h>

/* Most messages that one call acquires. */
#define RUN_MAX 1024

PyObject *opcode_object(struct state *state, uint32_t opcode)
{
	PyObject *object;

	if (opcode > L3L2Q_OP_ERROR)
		return PyLong_FromUnsignedLong(opcode);
	object = state->opcodes[opcode];
	Py_INCREF(object);
	return object;
}

/* ---- the messages that are held ------------------------------------------- */

static void hold(struct message *m)
{
	struct endpoint *e = m->span.e;

	m->held = true;
	m->prev = NULL;
	m->next = e->held;
	if (e->held)
		e->held->prev = m;
	e->held = m;
	e->held_count++;
}

static void forget(struct message *m)
{
	struct endpoint *e = m->span.e;

	if (!m->held)
		return;
	m->held = false;
	if (m->prev)
		m->prev->next = m->next;
	else
		e->held = m->next;
	if (m->next)
		m->next->prev = m->prev;
	e->held_count--;
}

/* Make room to remember @n more messages that nobody has. */
static int dropped_room(struct endpoint *e, size_t n)
{
	struct l3l2q_message *more;
	size_t room = e->dropped_count + n;

	if (room <= e->dropped_room)
		return 0;
	room += room / 2 + 4;
	more = PyMem_Realloc(e->dropped, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	e->dropped = more;
	e->dropped_room = room;
	return 0;
}

static void drop(struct endpoint *e, const struct l3l2q_message *m)
{
	if (!dropped_room(e, 1))
		e->dropped[e->dropped_count++] = *m;
}

static int do_release(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	(void)timeout_ns;
	return l3l2q_release(l3l2q_ep_consumer(e->ep), arg);
}

/* Give back what was dropped. An error is the endpoint's, and the next call's result. */
static void flush_dropped(struct endpoint *e)
{
	struct l3l2q_message m;

	while (e->dropped_count) {
		m = e->dropped[--e->dropped_count];
		call_once(e, do_release, &m, e->copied);
	}
}

static int consumer_begin(struct endpoint *e, const char *op)
{
	if (call_begin(e, &e->rx, op))
		return -1;
	flush_dropped(e);
	return 0;
}

/* ---- Message --------------------------------------------------------------- */

/* A message that is not held yet: made first, so that none is lost if memory is short. */
static struct message *message_alloc(struct endpoint *e)
{
	struct message *m = (struct message *)PyType_GenericAlloc(e->state->message, 0);

	if (m)
		span_init(&m->span, e);
	return m;
}

static void message_dealloc(struct message *m)
{
	struct endpoint *e = m->span.e;

	if (m->weak)
		PyObject_ClearWeakRefs(OBJECT(m));
	if (e->last == m)
		e->last = NULL;
	if (m->held) {
		forget(m);
		if (!e->closed && !endpoint_forked(e)) {
			/* a copy function may be in Python */
			if (e->rx.busy || e->copied)
				drop(e, &m->m);
			else
				l3l2q_release(l3l2q_ep_consumer(e->ep), &m->m);
		}
	}
	Py_XDECREF(m->copy);
	span_free(&m->span);
}

static int check_held(struct message *m, const char *op)
{
	if (m->held)
		return 0;
	raise_class(m->span.e->state, HANDLE_ERROR, m->span.e, op, EINVAL,
		    "the message was released before");
	return -1;
}

struct read_call {
	const struct l3l2q_message *m;
	void *data;
	size_t capacity;
};

static int do_read_into(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct read_call *c = arg;

	(void)timeout_ns;
	return l3l2q_read_into(l3l2q_ep_consumer(e->ep), c->m, c->data, c->capacity);
}

static void raise_small_buffer(struct endpoint *e, const char *op, uint64_t nbytes,
			       size_t capacity)
{
	char text[96];

	PyOS_snprintf(text, sizeof(text), "the message has %llu bytes, the buffer %zu",
		      (unsigned long long)nbytes, capacity);
	raise_error(e->state, e, op, -EMSGSIZE, text);
}

/* Copy a held message out, which takes the consumer. */
static int read_message(struct message *m, const char *op, void *data, size_t capacity)
{
	struct endpoint *e = m->span.e;
	struct read_call c = { &m->m, data, capacity };
	int ret;

	if (check_held(m, op) || call_begin(e, &e->rx, op))
		return -1;
	ret = call_once(e, do_read_into, &c, call_is_long(e, m->m.nbytes));
	if (ret != -EMSGSIZE)
		return call_finish(e, &e->rx, op, ret);
	call_end(e, &e->rx);
	raise_small_buffer(e, op, m->m.nbytes, capacity);
	return -1;
}

static PyObject *copy_message(struct message *m, const char *op)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)m->m.nbytes);

	if (bytes && read_message(m, op, m->m.nbytes ? PyBytes_AsString(bytes) : NULL, m->m.nbytes))
		Py_CLEAR(bytes);
	return bytes;
}

static PyObject *message_tobytes(struct message *m, PyObject *unused)
{
	(void)unused;
	if (check_held(m, "message.tobytes"))
		return NULL;
	return copy_message(m, "message.tobytes");
}

static PyObject *message_read_into(struct message *m, PyObject *const *args, Py_ssize_t nargs,
				   PyObject *kwnames)
{
	PARAMETERS(names, "buffer");
	static const struct signature sig = { "read_into", names, 1, 1 };
	static char nothing[1];
	PyObject *values[1];
	struct body body;
	void *data;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_body(values[0], "buffer", true, &body))
		return NULL;
	/* The library takes NULL for messages without a body alone. */
	data = body.nbytes ? body.data : nothing;
	ret = read_message(m, "message.read_into", m->m.nbytes ? data : NULL, body.nbytes);
	put_body(&body);
	return ret ? NULL : PyLong_FromUnsignedLongLong(m->m.nbytes);
}

static int message_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
	struct message *m = (struct message *)self;

	view->obj = NULL;
	if (!m->held || m->span.e->closed || endpoint_forked(m->span.e))
		return span_refuse(&m->span, "the message is not held any more");
	if (m->span.e->copied && !m->copy)
		m->copy = copy_message(m, "message.data");
	if (m->span.e->copied && !m->copy)
		return -1;
	return span_export(&m->span, view, m->copy ? PyBytes_AsString(m->copy) : (void *)m->m.data,
			   m->m.nbytes, true, flags);
}

static PyObject *message_data(struct message *m, void *unused)
{
	(void)unused;
	return check_held(m, "message.data") ? NULL : span_view(&m->span);
}

static int message_do_release(struct message *m, const char *op)
{
	struct endpoint *e = m->span.e;
	int ret;

	if (check_held(m, op) || span_revoke(&m->span) || consumer_begin(e, op))
		return -1;
	ret = call_once(e, do_release, &m->m, e->copied);
	forget(m);
	return call_finish(e, &e->rx, op, ret);
}

static PyObject *message_release(struct message *m, PyObject *unused)
{
	(void)unused;
	if (message_do_release(m, "message.release"))
		return NULL;
	Py_RETURN_NONE;
}

static int do_release_upto(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	(void)timeout_ns;
	return l3l2q_release_upto(l3l2q_ep_consumer(e->ep), arg);
}

/* End the views of the messages up to @seq. A view may be all that keeps its message. */
static int revoke_upto(struct endpoint *e, uint64_t seq)
{
	struct message *held = e->held;
	int ret = 0;

	while (held && !ret) {
		if (held->m.seq > seq || !held->span.exports) {
			held = held->next;
			continue;
		}
		Py_INCREF(OBJECT(held));
		ret = span_revoke(&held->span);
		Py_DECREF(OBJECT(held));
		held = e->held;
	}
	return ret;
}

static PyObject *message_release_upto(struct message *m, PyObject *unused)
{
	struct endpoint *e = m->span.e;
	struct message *held, *next;
	int ret;

	(void)unused;
	if (check_held(m, "message.release_upto"))
		return NULL;
	if (revoke_upto(e, m->m.seq))
		return NULL;
	if (consumer_begin(e, "message.release_upto"))
		return NULL;
	/* Before the call: what other threads drop meanwhile is not released again. */
	for (held = e->held; held; held = next) {
		next = held->next;
		if (held->m.seq <= m->m.seq)
			forget(held);
	}
	ret = call_once(e, do_release_upto, &m->m, e->copied);
	if (call_finish(e, &e->rx, "message.release_upto", ret))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *message_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	Py_INCREF(self);
	return self;
}

static PyObject *message_exit(struct message *m, PyObject *const *args, Py_ssize_t nargs)
{
	bool failed = nargs && args[0] != Py_None;

	if (!m->held || m->span.e->closed)
		Py_RETURN_NONE;
	if (message_do_release(m, "message.__exit__")) {
		/* The exception under way may hold views; the message goes with the last. */
		if (!failed)
			return NULL;
		PyErr_Clear();
	}
	Py_RETURN_NONE;
}

static PyObject *message_opcode(struct message *m, void *unused)
{
	(void)unused;
	return opcode_object(m->span.e->state, m->m.opcode);
}

static PyObject *message_nbytes(struct message *m, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(m->m.nbytes);
}

static PyObject *message_seq(struct message *m, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(m->m.seq);
}

static PyObject *message_offset(struct message *m, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(m->m.payload_offset);
}

static PyObject *message_released(struct message *m, void *unused)
{
	(void)unused;
	return PyBool_FromLong(!m->held);
}

static PyObject *message_viewed(struct message *m, void *unused)
{
	(void)unused;
	return PyBool_FromLong(m->span.exports != 0);
}

static Py_ssize_t message_length(PyObject *self)
{
	return (Py_ssize_t)((struct message *)self)->m.nbytes;
}

static int message_bool(PyObject *self)
{
	(void)self;
	return 1;
}

static PyObject *message_repr(struct message *m)
{
	return PyUnicode_FromFormat("<l3l2q.Message %lld, opcode %u, %zd bytes%s>",
				    (long long)m->m.seq, (unsigned int)m->m.opcode,
				    (Py_ssize_t)m->m.nbytes, m->held ? "" : ", released");
}

static PyMethodDef message_methods[] = {
	NOARGS("tobytes", message_tobytes, PyDoc_STR("tobytes($self, /)\n--\n\nCopy the body.")),
	METHOD("read_into", message_read_into, PyDoc_STR(
"read_into($self, /, buffer)\n--\n\nCopy the body into a buffer, and return its length.")),
	NOARGS("release", message_release, PyDoc_STR(
"release($self, /)\n--\n\n"
"Give the message back, in any order. Ends the view that data returned, and raises\n"
"BufferError, with nothing changed, if there are others.")),
	NOARGS("release_upto", message_release_upto, PyDoc_STR(
"release_upto($self, /)\n--\n\n"
"Give the message back and all that were acquired before it, at once.")),
	NOARGS("__enter__", message_enter, NULL),
	{ "__exit__", (PyCFunction)(void (*)(void))message_exit, METH_FASTCALL, PyDoc_STR(
"__exit__($self, exc_type, exc_value, traceback, /)\n--\n\nRelease the message.") },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef message_getset[] = {
	GETTER("opcode", message_opcode, "DATA, ERROR, or STOP, which has no body."),
	GETTER("nbytes", message_nbytes, "Length of the body."),
	GETTER("seq", message_seq, "Position in its direction, from 1."),
	GETTER("payload_offset", message_offset, "Bytes from the start of the payload range to the body."),
	GETTER("released", message_released, "True once it was given back."),
	GETTER("viewed", message_viewed, "True while views of it are in use."),
	GETTER("data", message_data,
	       "A read-only memoryview of the body in place; of copied memory, of a copy."),
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef message_members[] = {
	{ "__weaklistoffset__", T_PYSSIZET, offsetof(struct message, weak), READONLY, NULL },
	{ NULL, 0, 0, 0, NULL },
};

static PyType_Slot message_slots[] = {
	{ Py_tp_doc, PyDoc_STR(
"A message that the consumer holds, from Consumer.peek().\n\n"
"As a context manager it is released at the end of the block. A message that is dropped is\n"
"released. memoryview(message) and numpy.frombuffer(message) read it in place.") },
	{ Py_tp_new, no_new },
	{ Py_tp_dealloc, message_dealloc },
	{ Py_tp_repr, message_repr },
	{ Py_tp_methods, message_methods },
	{ Py_tp_members, message_members },
	{ Py_tp_getset, message_getset },
	{ Py_sq_length, message_length },
	{ Py_nb_bool, message_bool },
	{ Py_bf_getbuffer, message_getbuffer },
	{ Py_bf_releasebuffer, span_releasebuffer },
	{ 0, NULL },
};

PyType_Spec message_spec = {
	.name = "l3l2q.Message",
	.basicsize = sizeof(struct message),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = message_slots,
};

/* ---- acquiring -------------------------------------------------------------- */

static const char window_full[] = "the window is full: a message has to be released first";

static struct l3l2q_consumer *consumer_of(const struct endpoint *e)
{
	return l3l2q_ep_consumer(e->ep);
}

/*
 * Nothing but STOP can be acquired now, and only this half's thread can change that. What
 * was released behind a message that is held counts.
 */
static bool is_full(const struct endpoint *e)
{
	const struct l3l2q_consumer *c = consumer_of(e);

	return c->outstanding >= c->window;
}

/* End a call for which there is no room in the window. */
static int raise_full(struct endpoint *e, const char *op)
{
	call_end(e, &e->rx);
	raise_class(e->state, BUSY_ERROR, e, op, EBUSY, window_full);
	return -1;
}

/* Begin a call that acquires messages; where it would end the endpoint, refuse. */
static int acquire_begin(struct endpoint *e, const char *op)
{
	if (consumer_begin(e, op))
		return -1;
	return e->held && consumer_of(e)->one_handle ? raise_full(e, op) : 0;
}

/* With a window of 1, L3 gets the message that it holds again: that one, or NULL. */
static PyObject *held_again(struct endpoint *e)
{
	PyObject *held = OBJECT(e->held);

	if (!held || e->role != L3L2Q_ROLE_L3 || endpoint_forked(e) || e->closed || e->rx.busy ||
	    !consumer_of(e)->one_handle)
		return NULL;
	Py_INCREF(held);
	return held;
}

/* Begin again a call that was not to find the window full. */
static int acquire_again(struct endpoint *e, const char *op)
{
	if (acquire_begin(e, op))
		return -1;
	return is_full(e) ? raise_full(e, op) : 0;
}

/* As call_block(), but raise where a full window would have it wait for ever. */
static int acquire(struct endpoint *e, const char *op, call_beginner again, library_call call,
		   void *arg, bool is_long, bool block, int64_t timeout_ns)
{
	int ret;

	if (!block)
		return call_once(e, call, arg, is_long);
	if (is_full(e)) {
		ret = call_once(e, call, arg, is_long);
		if (ret != -EAGAIN)
			return ret;
		raise_full(e, op);
		return RAISED;
	}
	return call_block(e, &e->rx, op, again, call, arg, is_long, timeout_ns);
}

static int do_peek(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(e->ep);

	return timeout_ns ? l3l2q_peek(c, arg, timeout_ns) : l3l2q_try_peek(c, arg);
}

/* The next message; None if there is none and it is not to block. */
static PyObject *peek(struct endpoint *e, const char *op, bool block, int64_t timeout_ns)
{
	PyObject *held = held_again(e);
	struct message *m;
	int ret;

	if (held)
		return held;
	m = message_alloc(e);
	if (!m || acquire_begin(e, op)) {
		Py_XDECREF(OBJECT(m));
		return NULL;
	}
	ret = acquire(e, op, acquire_again, do_peek, &m->m, e->copied, block, timeout_ns);
	if (!ret)
		hold(m);
	if (call_finish(e, &e->rx, op, ret == -EAGAIN ? 0 : ret)) {
		Py_DECREF(OBJECT(m));
		return NULL;
	}
	if (!ret)
		return (PyObject *)m;
	Py_DECREF(OBJECT(m));
	Py_RETURN_NONE;
}

static PyObject *consumer_peek(struct half_object *c, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "timeout");
	static const struct signature sig = { "peek", names, 1, 0 };
	PyObject *values[1];
	int64_t timeout_ns;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[0], &timeout_ns))
		return NULL;
	return peek(c->e, "consumer.peek", true, timeout_ns);
}

static PyObject *consumer_try_peek(struct half_object *c, PyObject *unused)
{
	(void)unused;
	return peek(c->e, "consumer.try_peek", false, 0);
}

struct run_call {
	struct l3l2q_message *m;
	int max;
};

static int do_peek_batch(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_consumer *c = l3l2q_ep_consumer(e->ep);
	struct run_call *r = arg;

	return timeout_ns ? l3l2q_peek_batch(c, r->m, r->max, timeout_ns)
			  : l3l2q_try_peek_batch(c, r->m, r->max);
}

/* A list of the messages; those that it has no memory for are dropped. */
static PyObject *messages_list(struct endpoint *e, const struct l3l2q_message *m, int n)
{
	PyObject *list = PyList_New(0);
	struct message *message;
	int i;

	for (i = 0; i < n; i++) {
		message = list ? message_alloc(e) : NULL;
		if (!message) {
			drop(e, &m[i]);
			Py_CLEAR(list);
			continue;
		}
		message->m = m[i];
		hold(message);
		if (PyList_Append(list, (PyObject *)message))
			Py_CLEAR(list);
		Py_DECREF(OBJECT(message));
	}
	return list;
}

static PyObject *peek_run(struct endpoint *e, const char *op, PyObject *limit, bool block,
			  int64_t timeout_ns)
{
	struct run_call c = { NULL, 0 };
	PyObject *list = NULL;
	uint64_t max = 0;
	int ret;

	if (get_u64(limit, "limit", UINT32_MAX, &max))
		return NULL;
	if (!max) {
		PyErr_SetString(PyExc_ValueError, "limit: has to be at least 1");
		return NULL;
	}
	c.max = (int)(max < RUN_MAX ? max : RUN_MAX);
	c.m = PyMem_Malloc((size_t)c.max * sizeof(*c.m));
	if (!c.m)
		return PyErr_NoMemory();
	if (!acquire_begin(e, op)) {
		ret = dropped_room(e, (size_t)c.max);
		if (!ret)
			ret = acquire(e, op, acquire_again, do_peek_batch, &c, e->copied, block,
				      timeout_ns);
		if (!call_finish(e, &e->rx, op, ret == -EAGAIN ? 0 : ret))
			list = messages_list(e, c.m, ret > 0 ? ret : 0);
	}
	PyMem_Free(c.m);
	return list;
}

static PyObject *consumer_peek_run(struct half_object *c, PyObject *const *args, Py_ssize_t nargs,
				   PyObject *kwnames)
{
	PARAMETERS(names, "limit", "timeout");
	static const struct signature sig = { "peek_run", names, 2, 1 };
	PyObject *values[2];
	int64_t timeout_ns;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[1], &timeout_ns))
		return NULL;
	return peek_run(c->e, "consumer.peek_run", values[0], true, timeout_ns);
}

static PyObject *consumer_try_peek_run(struct half_object *c, PyObject *const *args,
				       Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "limit");
	static const struct signature sig = { "try_peek_run", names, 1, 1 };
	PyObject *values[1];

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	return peek_run(c->e, "consumer.try_peek_run", values[0], false, 0);
}

/* ---- releasing several ------------------------------------------------------ */

static int do_release_batch(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct run_call *c = arg;

	(void)timeout_ns;
	return l3l2q_release_batch(l3l2q_ep_consumer(e->ep), c->m, c->max);
}

/* End the views of all messages in @tuple, which have to be held and of this endpoint. */
static int check_messages(struct endpoint *e, PyObject *tuple, Py_ssize_t n)
{
	struct message *m;
	Py_ssize_t i;

	for (i = 0; i < n; i++) {
		m = (struct message *)PyTuple_GetItem(tuple, i);
		if (Py_TYPE((PyObject *)m) != e->state->message) {
			PyErr_Format(PyExc_TypeError, "messages: a Message was expected, not %R",
				     (PyObject *)Py_TYPE((PyObject *)m));
			return -1;
		}
		if (m->span.e != e) {
			raise_class(e->state, HANDLE_ERROR, e, "consumer.release", EINVAL,
				    "the message is of another endpoint");
			return -1;
		}
		if (check_held(m, "consumer.release") || span_revoke(&m->span))
			return -1;
	}
	return 0;
}

static PyObject *consumer_release(struct half_object *consumer, PyObject *const *args,
				  Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "messages");
	static const struct signature sig = { "release", names, 1, 1 };
	struct endpoint *e = consumer->e;
	struct run_call c = { NULL, 0 };
	PyObject *values[1], *tuple;
	struct message *m;
	Py_ssize_t i, n;
	int ret = -1;

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	tuple = PySequence_Tuple(values[0]);
	if (!tuple)
		return NULL;
	n = PyTuple_Size(tuple);
	c.m = PyMem_Malloc((size_t)(n + 1) * sizeof(*c.m));
	if (!c.m) {
		PyErr_NoMemory();
	} else if (!check_messages(e, tuple, n) && !consumer_begin(e, "consumer.release")) {
		/* A message that is named twice is released once. */
		for (i = 0; i < n; i++) {
			m = (struct message *)PyTuple_GetItem(tuple, i);
			if (m->held)
				c.m[c.max++] = m->m;
			forget(m);
		}
		ret = call_once(e, do_release_batch, &c, e->copied);
		ret = call_finish(e, &e->rx, "consumer.release", ret);
	}
	PyMem_Free(c.m);
	Py_DECREF(tuple);
	if (ret)
		return NULL;
	Py_RETURN_NONE;
}

/* ---- copying ---------------------------------------------------------------- */

static PyObject *tuple_of(PyTypeObject *type, PyObject *a, PyObject *b, PyObject *c)
{
	PyObject *result = a && b && c ? PyStructSequence_New(type) : NULL;

	if (!result) {
		Py_XDECREF(a);
		Py_XDECREF(b);
		Py_XDECREF(c);
		return NULL;
	}
	PyStructSequence_SetItem(result, 0, a);
	PyStructSequence_SetItem(result, 1, b);
	PyStructSequence_SetItem(result, 2, c);
	return result;
}

/* Copy out and release what was acquired. If that fails the message is held by nobody. */
static PyObject *take_bytes(struct endpoint *e, struct l3l2q_message *m, int *ret)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)m->nbytes);
	struct read_call c = { m, NULL, m->nbytes };

	*ret = -ENOMEM;
	if (!bytes) {
		PyErr_Clear();
	} else {
		c.data = m->nbytes ? PyBytes_AsString(bytes) : NULL;
		*ret = call_once(e, do_read_into, &c, call_is_long(e, m->nbytes));
	}
	if (*ret) {
		drop(e, m);
	} else {
		*ret = call_once(e, do_release, m, e->copied);
	}
	if (*ret)
		Py_CLEAR(bytes);
	return bytes;
}

/* Refuse to copy out of turn: the message that is held comes first. */
static int dequeue_begin(struct endpoint *e, const char *op)
{
	if (consumer_begin(e, op))
		return -1;
	if (!e->held)
		return 0;
	call_end(e, &e->rx);
	raise_class(e->state, BUSY_ERROR, e, op, EBUSY, "a message is held: release it first");
	return -1;
}

static PyObject *dequeue(struct endpoint *e, const char *op, bool block, int64_t timeout_ns)
{
	struct l3l2q_message m;
	PyObject *bytes = NULL;
	int ret;

	if (dequeue_begin(e, op))
		return NULL;
	ret = acquire(e, op, dequeue_begin, do_peek, &m, e->copied, block, timeout_ns);
	if (!ret)
		bytes = take_bytes(e, &m, &ret);
	if (call_finish(e, &e->rx, op, ret == -EAGAIN ? 0 : ret)) {
		Py_XDECREF(bytes);
		return NULL;
	}
	if (!bytes)
		Py_RETURN_NONE;
	return tuple_of(e->state->received, opcode_object(e->state, m.opcode), bytes,
			PyLong_FromUnsignedLongLong(m.seq));
}

static PyObject *consumer_dequeue(struct half_object *c, PyObject *const *args, Py_ssize_t nargs,
				  PyObject *kwnames)
{
	PARAMETERS(names, "timeout");
	static const struct signature sig = { "dequeue", names, 1, 0 };
	PyObject *values[1];
	int64_t timeout_ns;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[0], &timeout_ns))
		return NULL;
	return dequeue(c->e, "consumer.dequeue", true, timeout_ns);
}

static PyObject *consumer_try_dequeue(struct half_object *c, PyObject *unused)
{
	(void)unused;
	return dequeue(c->e, "consumer.try_dequeue", false, 0);
}

struct dequeue_call {
	struct l3l2q_message m;
	void *data;
	size_t capacity;
};

static int do_dequeue(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_consumer *consumer = l3l2q_ep_consumer(e->ep);
	struct dequeue_call *c = arg;

	return timeout_ns ? l3l2q_dequeue(consumer, &c->m, c->data, c->capacity, timeout_ns)
			  : l3l2q_try_dequeue(consumer, &c->m, c->data, c->capacity);
}

static PyObject *dequeue_into(struct endpoint *e, const char *op, PyObject *buffer, bool block,
			      int64_t timeout_ns)
{
	struct dequeue_call c = { .data = NULL };
	struct body body;
	int ret;

	if (get_body(buffer, "buffer", true, &body))
		return NULL;
	c.data = body.data;
	c.capacity = body.nbytes;
	if (dequeue_begin(e, op)) {
		put_body(&body);
		return NULL;
	}
	ret = acquire(e, op, dequeue_begin, do_dequeue, &c, call_is_long(e, body.nbytes), block,
		      timeout_ns);
	if (ret == -EMSGSIZE) {
		call_end(e, &e->rx);
		raise_small_buffer(e, op, c.m.nbytes, body.nbytes);
	} else {
		call_finish(e, &e->rx, op, ret == -EAGAIN ? 0 : ret);
	}
	put_body(&body);
	if (PyErr_Occurred())
		return NULL;
	if (ret == -EAGAIN)
		Py_RETURN_NONE;
	return tuple_of(e->state->header, opcode_object(e->state, c.m.opcode),
			PyLong_FromUnsignedLongLong(c.m.nbytes),
			PyLong_FromUnsignedLongLong(c.m.seq));
}

static PyObject *consumer_dequeue_into(struct half_object *c, PyObject *const *args,
				       Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "buffer", "timeout");
	static const struct signature sig = { "dequeue_into", names, 2, 1 };
	PyObject *values[2];
	int64_t timeout_ns;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[1], &timeout_ns))
		return NULL;
	return dequeue_into(c->e, "consumer.dequeue_into", values[0], true, timeout_ns);
}

static PyObject *consumer_try_dequeue_into(struct half_object *c, PyObject *const *args,
					   Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "buffer");
	static const struct signature sig = { "try_dequeue_into", names, 1, 1 };
	PyObject *values[1];

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	return dequeue_into(c->e, "consumer.try_dequeue_into", values[0], false, 0);
}

/* ---- the type ----------------------------------------------------------------- */

PyObject *consumer_new(struct endpoint *e)
{
	struct half_object *c = (struct half_object *)PyType_GenericAlloc(e->state->consumer, 0);

	if (!c)
		return NULL;
	Py_INCREF(OBJECT(e));
	c->e = e;
	return (PyObject *)c;
}

static void consumer_dealloc(struct half_object *c)
{
	PyTypeObject *type = Py_TYPE(OBJECT(c));
	struct endpoint *e = c->e;

	PyObject_GC_UnTrack(c);
	e->rx.object = NULL;
	PyObject_GC_Del(c);
	Py_DECREF(OBJECT(type));
	Py_DECREF(OBJECT(e));
}

static PyObject *consumer_iter(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

/* Give back what the loop got last: 1 if not, since views of it are in use. */
static int finish_last(struct endpoint *e)
{
	struct message *last = e->last;
	int ret = 0;

	if (last && last->held && last->span.exports)
		return 1;
	e->last = NULL;
	if (!last || !last->held)
		return 0;
	Py_INCREF(OBJECT(last));
	ret = message_do_release(last, "consumer.__next__");
	Py_DECREF(OBJECT(last));
	return ret;
}

static PyObject *consumer_next(struct half_object *c)
{
	struct endpoint *e = c->e;
	struct message *m;
	int kept = finish_last(e), drained;

	if (kept < 0 || call_begin(e, &e->rx, "consumer.__next__"))
		return NULL;
	drained = l3l2q_drained(consumer_of(e));
	/* peek() would get that one again. */
	if (kept && consumer_of(e)->one_handle) {
		raise_full(e, "consumer.__next__");
		return NULL;
	}
	call_end(e, &e->rx);
	if (drained == 1)
		return NULL;
	m = (struct message *)peek(e, "consumer.__next__", true, FOREVER);
	if (!m) {
		if (PyErr_ExceptionMatches(e->state->errors[PEER_DETACHED]))
			PyErr_Clear();
		return NULL;
	}
	if (m->m.opcode == L3L2Q_OP_STOP) {
		message_do_release(m, "consumer.__next__");
		Py_DECREF(OBJECT(m));
		return NULL;
	}
	e->last = m;
	return (PyObject *)m;
}

static PyObject *consumer_endpoint(struct half_object *c, void *unused)
{
	(void)unused;
	Py_INCREF(OBJECT(c->e));
	return (PyObject *)c->e;
}

static PyObject *consumer_pending(struct half_object *c, void *unused)
{
	struct endpoint *e = c->e;
	int64_t n;

	(void)unused;
	if (consumer_begin(e, "consumer.pending"))
		return NULL;
	n = l3l2q_pending(l3l2q_ep_consumer(e->ep));
	if (call_finish(e, &e->rx, "consumer.pending", n < 0 ? (int)n : 0))
		return NULL;
	return PyLong_FromLongLong(n);
}

static PyObject *consumer_drained(struct half_object *c, void *unused)
{
	struct endpoint *e = c->e;
	int drained;

	(void)unused;
	if (consumer_begin(e, "consumer.drained"))
		return NULL;
	drained = l3l2q_drained(l3l2q_ep_consumer(e->ep));
	if (call_finish(e, &e->rx, "consumer.drained", drained))
		return NULL;
	return PyBool_FromLong(drained);
}

static PyObject *consumer_held(struct half_object *c, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(c->e->held_count);
}

static PyObject *consumer_full(struct half_object *c, void *unused)
{
	bool full;

	(void)unused;
	if (consumer_begin(c->e, "consumer.full"))
		return NULL;
	full = is_full(c->e);
	call_end(c->e, &c->e->rx);
	return PyBool_FromLong(full);
}

static PyObject *consumer_look(struct half_object *c, PyObject *unused)
{
	(void)unused;
	return call_look(c->e, &c->e->rx, "consumer.look", L3L2Q_EVENT_IN);
}

static PyMethodDef consumer_methods[] = {
	METHOD("peek", consumer_peek, PyDoc_STR(
"peek($self, /, timeout=None)\n--\n\n"
"Acquire the next message: a Message, which is read in place and released in any order. Up\n"
"to window messages can be held. With a window of 1, L3 gets the one that it holds again.")),
	NOARGS("try_peek", consumer_try_peek, PyDoc_STR(
"try_peek($self, /)\n--\n\nAcquire the next message if there is one; else return None.")),
	METHOD("peek_run", consumer_peek_run, PyDoc_STR(
"peek_run($self, /, limit, timeout=None)\n--\n\n"
"Wait for a message, and acquire up to limit of those that are there: a list.")),
	METHOD("try_peek_run", consumer_try_peek_run, PyDoc_STR(
"try_peek_run($self, /, limit)\n--\n\nAcquire up to limit messages; the list may be empty.")),
	NOARGS("look", consumer_look, PyDoc_STR(
"look($self, /)\n--\n\n"
"Look for 10 us, or spin if that is less, whether there may be a message, and return whether.\n"
"For an event loop, before it sleeps: the less a look finds, the shorter and rarer they are.\n"
"Other threads do not run meanwhile, and copied memory is not looked at.")),
	METHOD("release", consumer_release, PyDoc_STR(
"release($self, /, messages)\n--\n\nGive several messages back, at once.")),
	METHOD("dequeue", consumer_dequeue, PyDoc_STR(
"dequeue($self, /, timeout=None)\n--\n\n"
"Receive a message as bytes and release it: Received(opcode, data, seq).")),
	NOARGS("try_dequeue", consumer_try_dequeue, PyDoc_STR(
"try_dequeue($self, /)\n--\n\nReceive a message if there is one; else return None.")),
	METHOD("dequeue_into", consumer_dequeue_into, PyDoc_STR(
"dequeue_into($self, /, buffer, timeout=None)\n--\n\n"
"Receive a message into a buffer: Header(opcode, nbytes, seq). If it does not fit, TooLarge\n"
"says its size, and it stays the next message.")),
	METHOD("try_dequeue_into", consumer_try_dequeue_into, PyDoc_STR(
"try_dequeue_into($self, /, buffer)\n--\n\n"
"Receive a message into a buffer if there is one; else return None.")),
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef consumer_getset[] = {
	GETTER("endpoint", consumer_endpoint, "The endpoint that it is a half of."),
	GETTER("pending", consumer_pending, "Messages that are there and that the window has room for."),
	GETTER("drained", consumer_drained, "True once STOP and all before it were released."),
	GETTER("held", consumer_held, "Messages that are held."),
	GETTER("full", consumer_full,
	       "True if only STOP can be acquired until a message is released: the window counts from\n"
	       "the first message that is held."),
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot consumer_slots[] = {
	{ Py_tp_doc, PyDoc_STR(
"The receiving half of an endpoint. For one thread at a time.\n\n"
"Iteration yields messages until STOP, or until the other side has detached. A message that\n"
"the loop got is released when it asks for the next one, or, if views of it are in use, with\n"
"the last of them.") },
	{ Py_tp_new, no_new },
	{ Py_tp_dealloc, consumer_dealloc },
	{ Py_tp_traverse, half_traverse },
	{ Py_tp_iter, consumer_iter },
	{ Py_tp_iternext, consumer_next },
	{ Py_tp_methods, consumer_methods },
	{ Py_tp_getset, consumer_getset },
	{ 0, NULL },
};

PyType_Spec consumer_spec = {
	.name = "l3l2q.Consumer",
	.basicsize = sizeof(struct half_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = consumer_slots,
};
