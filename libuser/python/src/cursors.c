// SPDX-License-Identifier: MIT
/*
 * Cursors: one direction of a queue whose cursors Python code keeps (l3l2q/simpler/_rings.py).
 *
 * That code decides what is a mistake, which comes first, and what it ends. Few messages need
 * it: send() and take() pass the others by the same accesses in the same order. From what is
 * out of the ordinary they keep off: they announce nothing and return None, and Python code
 * does it all again.
 */
#include <math.h>

#include "pyl3l2q.h"

struct cursors {
	PyObject_HEAD
	struct endpoint *e;		/* NULL if the memory is no endpoint's */
	unsigned long thread;		/* the only one that may access it, or 0 */
	uint64_t depth;
	uint64_t slots;			/* offset of the ring */
	uint64_t arena;			/* offset of the arena */
	uint64_t arena_bytes;
	unsigned long long tail;
	unsigned long long head;
	unsigned long long cursor;	/* behind the newest body sent, or released */
	unsigned long long freed;	/* behind the newest body that the peer released */
	int seen;			/* the peer's counter, as it was last */
	char off;			/* something has ended: nothing is ordinary */
	char held;			/* the next message to take is one that was looked at */
	char checks_abort;		/* the peer's flag comes before everything */
};

/* ---- what is ordinary ------------------------------------------------------- */

static bool is_usable(const struct cursors *c)
{
	const struct endpoint *e = c->e;

	return e && !c->off && !e->closed && !e->copied && !endpoint_forked(e) &&
	       (!c->thread || c->thread == PyThread_get_thread_ident()) &&
	       (!c->checks_abort ||
		!l3l2q_test(e->ep, L3L2Q_CTR_L2_ABORT, L3L2Q_CMP_GE, 1, NULL));
}

/* A time that is no mistake, and none that only some generations take. NULL is 0 seconds. */
static bool get_plain_time(PyObject *timeout, int64_t *ns)
{
	double seconds;

	*ns = 0;
	if (!timeout)
		return true;
	if (!PyFloat_CheckExact(timeout) && !PyLong_CheckExact(timeout))
		return false;
	seconds = PyFloat_AsDouble(timeout);
	if (PyErr_Occurred())
		PyErr_Clear();
	if (!(seconds > 0 && seconds < 9e9))
		return false;
	*ns = (int64_t)ceil(seconds * 1e9);
	return true;
}

/* Formats that memoryview.cast() takes; others are mistakes, which Python code words. */
static bool is_castable(const char *format)
{
	return !format || (format[0] && !format[1] && strchr("BbcHhIiLlQqfd", format[0]));
}

/* True of types of C code, which are none that an orchestrator has its own rules for. */
static bool is_plain_type(PyTypeObject *type)
{
	unsigned long flags = PyType_GetFlags(type);

#ifdef Py_TPFLAGS_IMMUTABLETYPE
	if (flags & Py_TPFLAGS_IMMUTABLETYPE)
		return true;
#endif
	return !(flags & Py_TPFLAGS_HEAPTYPE);
}

/*
 * At least @nbytes of an object whose type no Python code has made. None has no bytes, and a
 * message of no bytes has None. @view has no object if there is nothing to give back.
 */
static bool get_plain(PyObject *object, uint64_t nbytes, bool writable, Py_buffer *view)
{
	int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);

	view->obj = NULL;
	view->buf = NULL;
	if (!nbytes || object == Py_None)
		return !nbytes && object == Py_None;
	if (!is_plain_type(Py_TYPE(object)) || !PyObject_CheckBuffer(object))
		return false;
	if (PyObject_GetBuffer(object, view, flags)) {
		PyErr_Clear();
		view->obj = NULL;
		return false;
	}
	if ((uint64_t)view->len >= nbytes && is_castable(view->format))
		return true;
	PyBuffer_Release(view);
	return false;
}

/* ---- accesses ------------------------------------------------------------- */

static uint64_t slot_at(const struct cursors *c, uint64_t count)
{
	return c->slots + (count & (c->depth - 1)) * sizeof(struct l3l2q_desc);
}

/* Where a body goes; @cursor moves behind it. */
static uint64_t place(const struct cursors *c, uint64_t nbytes, unsigned long long *cursor)
{
	uint64_t position = *cursor % c->arena_bytes;

	if (!nbytes)
		return 0;
	if (position + nbytes > c->arena_bytes) {
		*cursor += c->arena_bytes - position;
		position = 0;
	}
	*cursor += nbytes;
	return c->arena + position;
}

/* Load the peer's counter, and compute how far it is ahead of a count. */
static bool load_ahead(struct cursors *c, uint64_t offset, uint64_t count, uint32_t *ahead)
{
	if (l3l2q_test(c->e->ep, offset, L3L2Q_CMP_EQ, 0, &c->seen) < 0)
		return false;
	*ahead = (uint32_t)c->seen - (uint32_t)count;
	return true;
}

static bool read_slot(const struct cursors *c, uint64_t count, struct l3l2q_desc *desc)
{
	return !l3l2q_payload_read(c->e->ep, slot_at(c, count), desc, sizeof(*desc)) &&
	       desc->seq == count + 1 && desc->payload_nbytes <= c->arena_bytes;
}

/* A count as a counter's value; Python code decides what is after the last one. */
static bool fits_counter(uint64_t count)
{
	return count <= INT32_MAX;
}

/* Copy a message, unless @copy is NULL, and then set the counter of ours that counts it. */
static bool pass(struct cursors *c, library_call copy, void *arg, const struct l3l2q_desc *desc,
		 uint64_t counter)
{
	struct endpoint *e = c->e;
	int ret = 0;

	endpoint_use(e);
	if (copy)
		ret = call_once(e, copy, arg, call_is_long(e, desc->payload_nbytes));
	if (!ret)
		ret = l3l2q_notify(e->ep, counter, L3L2Q_NOTIFY_SET, (int32_t)desc->seq);
	endpoint_unuse(e);
	return !ret;
}

/* ---- sending -------------------------------------------------------------- */

/* Learn from its descriptor how much space each message gives back. */
static bool replay(struct cursors *c)
{
	unsigned long long freed;
	struct l3l2q_desc desc;
	uint32_t released;

	if (!load_ahead(c, L3L2Q_CTR_INPUT_HEAD, c->head, &released) ||
	    released > c->tail - c->head)
		return false;
	for (; released; released--) {
		freed = c->freed;
		if (!read_slot(c, c->head, &desc) ||
		    desc.payload_offset != place(c, desc.payload_nbytes, &freed))
			return false;
		c->freed = freed;
		c->head++;
	}
	return true;
}

static bool publish(struct cursors *c, struct write_call *w, unsigned long long cursor)
{
	if (!pass(c, do_write_message, w, &w->desc, L3L2Q_CTR_INPUT_TAIL))
		return false;
	c->tail = w->desc.seq;
	c->cursor = cursor;
	return true;
}

/* True, False if there is no room, or None. */
static PyObject *send_plain(struct cursors *c, PyObject *body, uint64_t nbytes)
{
	unsigned long long cursor = c->cursor;
	struct write_call w = { 0 };
	PyObject *sent = Py_None;
	Py_buffer view;

	if (nbytes > c->arena_bytes || !get_plain(body, nbytes, false, &view))
		goto out;
	if (!replay(c) || !fits_counter(c->tail + 1))
		goto release;
	w.slot = slot_at(c, c->tail);
	w.desc.seq = c->tail + 1;
	w.desc.opcode = L3L2Q_OP_DATA;
	w.desc.payload_offset = place(c, nbytes, &cursor);
	w.desc.payload_nbytes = nbytes;
	w.data = view.buf;
	if (c->tail - c->head >= c->depth || (nbytes && cursor - c->freed > c->arena_bytes))
		sent = Py_False;
	else if (publish(c, &w, cursor))
		sent = Py_True;
release:
	if (view.obj)
		PyBuffer_Release(&view);
out:
	Py_INCREF(sent);
	return sent;
}

static PyObject *cursors_send(struct cursors *c, PyObject *const *args, Py_ssize_t nargs)
{
	int64_t timeout_ns;
	uint64_t nbytes;

	if (nargs < 2 || nargs > 3) {
		PyErr_Format(PyExc_TypeError, "send() takes 2 or 3 arguments (%zd given)", nargs);
		return NULL;
	}
	if (!is_usable(c) || !PyLong_CheckExact(args[1]) ||
	    !get_plain_time(nargs > 2 ? args[2] : NULL, &timeout_ns))
		Py_RETURN_NONE;
	nbytes = PyLong_AsUnsignedLongLong(args[1]);
	if (nbytes != (uint64_t)-1 || !PyErr_Occurred())
		return send_plain(c, args[0], nbytes);
	PyErr_Clear();
	Py_RETURN_NONE;
}

/* ---- taking ---------------------------------------------------------------- */

/* Copy a body out and give the message back. */
static bool take_body(struct cursors *c, const struct l3l2q_desc *desc, void *to)
{
	struct payload_call p = { desc->payload_offset, to, desc->payload_nbytes };

	return pass(c, p.nbytes ? do_payload_read : NULL, &p, desc, L3L2Q_CTR_OUTPUT_HEAD);
}

/* Learn how many messages there are: 1 if any, 0 if none, or -1. */
static int refresh_tail(struct cursors *c)
{
	uint32_t ahead;

	if (!load_ahead(c, L3L2Q_CTR_OUTPUT_TAIL, c->tail, &ahead) ||
	    c->tail + ahead - c->head > c->depth)
		return -1;
	c->tail += ahead;
	return c->tail != c->head;
}

/*
 * Wait for a message where there is none, and look again, or return RAISED. A signal's
 * handler, or another thread, may have changed anything.
 */
static int wait_for_tail(struct cursors *c, int64_t timeout_ns)
{
	struct counter_call w = { L3L2Q_CTR_OUTPUT_TAIL, L3L2Q_CMP_NE, c->seen, 0 };
	struct endpoint *e = c->e;
	int ret;

	if (call_begin(e, &e->any, "take"))
		return RAISED;
	ret = call_block(e, &e->any, "take", any_begin, do_wait_counter, &w, false, timeout_ns);
	if (ret == RAISED || ret == -EINTR) {
		call_finish(e, &e->any, "take", ret);
		return RAISED;
	}
	call_end(e, &e->any);
	return ret > 0 && is_usable(c) && !c->held ? refresh_tail(c) : -1;
}

/* The message's slot, or None. */
static PyObject *take_plain(struct cursors *c, PyObject *buffer)
{
	unsigned long long cursor = c->cursor;
	struct l3l2q_desc desc;
	PyObject *slot;
	Py_buffer view;

	if (!fits_counter(c->head + 1) || !read_slot(c, c->head, &desc) ||
	    (desc.opcode != L3L2Q_OP_DATA && desc.opcode != L3L2Q_OP_ERROR) ||
	    desc.payload_offset != place(c, desc.payload_nbytes, &cursor) ||
	    !get_plain(buffer, desc.payload_nbytes, true, &view))
		Py_RETURN_NONE;
	slot = u64_tuple((const uint64_t[]){ desc.seq, desc.opcode, desc.payload_offset,
					     desc.payload_nbytes }, 4);
	if (slot && take_body(c, &desc, view.buf)) {
		c->head = desc.seq;
		c->cursor = cursor;
	} else if (slot) {
		Py_DECREF(slot);
		Py_INCREF(Py_None);
		slot = Py_None;
	}
	if (view.obj)
		PyBuffer_Release(&view);
	return slot;
}

static PyObject *cursors_take(struct cursors *c, PyObject *const *args, Py_ssize_t nargs)
{
	int64_t timeout_ns;
	int found;

	if (nargs < 1 || nargs > 2) {
		PyErr_Format(PyExc_TypeError, "take() takes 1 or 2 arguments (%zd given)", nargs);
		return NULL;
	}
	if (!is_usable(c) || c->held || !get_plain_time(nargs > 1 ? args[1] : NULL, &timeout_ns))
		Py_RETURN_NONE;
	found = refresh_tail(c);
	if (!found && !timeout_ns)
		Py_RETURN_FALSE;
	if (!found)
		found = wait_for_tail(c, timeout_ns);
	if (found == RAISED)
		return NULL;
	if (found <= 0)
		Py_RETURN_NONE;
	return take_plain(c, args[0]);
}

/* ---- the type -------------------------------------------------------------- */

static int cursors_init(struct cursors *c, PyObject *args, PyObject *kwargs)
{
	unsigned long long depth, slots, arena, arena_bytes;

	if (kwargs && PyDict_Size(kwargs)) {
		PyErr_SetString(PyExc_TypeError, "Cursors() takes no keyword arguments");
		return -1;
	}
	if (!PyArg_ParseTuple(args, "KKKK:Cursors", &depth, &slots, &arena, &arena_bytes))
		return -1;
	if (!depth || depth & (depth - 1) || !arena_bytes) {
		PyErr_SetString(PyExc_ValueError,
				"depth: a power of two; arena_bytes: more than 0");
		return -1;
	}
	c->depth = depth;
	c->slots = slots;
	c->arena = arena;
	c->arena_bytes = arena_bytes;
	return 0;
}

int cursors_bind(struct endpoint *e, PyObject *object, unsigned long thread)
{
	struct cursors *c = (struct cursors *)object;

	if (!PyObject_TypeCheck(object, e->state->cursors)) {
		PyErr_Format(PyExc_TypeError, "cursors: Cursors were expected, not %R",
			     OBJECT(Py_TYPE(object)));
		return -1;
	}
	/* A call of theirs may be under way, without the GIL. */
	if (c->e || !c->depth) {
		PyErr_SetString(PyExc_ValueError, "cursors: are bound already, or to no queue");
		return -1;
	}
	Py_INCREF(OBJECT(e));
	c->e = e;
	c->thread = thread;
	return 0;
}

static void cursors_dealloc(struct cursors *c)
{
	PyTypeObject *type = Py_TYPE(OBJECT(c));
	freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
	struct endpoint *e = c->e;

	free_object(c);
	Py_DECREF(OBJECT(type));
	Py_XDECREF(OBJECT(e));
}

static PyMethodDef cursors_methods[] = {
	{ "send", (PyCFunction)(void (*)(void))cursors_send, METH_FASTCALL, PyDoc_STR(
"send(body, nbytes[, timeout])\n\n"
"Send a DATA message, and return True, or False if there is no room. None if anything is out\n"
"of the ordinary: nothing was sent. It never waits: of a timeout it sees if that is seconds.") },
	{ "take", (PyCFunction)(void (*)(void))cursors_take, METH_FASTCALL, PyDoc_STR(
"take(buffer[, timeout])\n\n"
"Receive a message into a buffer, and return its descriptor as Endpoint.read_slot() does. None\n"
"if anything is out of the ordinary, that none came in time included: it is still there. False\n"
"if there is none and no time to wait.") },
	{ NULL, NULL, 0, NULL },
};

#define CURSOR(name, field, doc) { name, T_ULONGLONG, offsetof(struct cursors, field), 0, doc }

static PyMemberDef cursors_members[] = {
	CURSOR("tail", tail, "Messages that were sent, or that the peer has announced."),
	CURSOR("head", head, "Messages that the peer is known to have released, or were released."),
	CURSOR("cursor", cursor, "Arena bytes up to the end of the newest body sent, or released."),
	CURSOR("freed", freed, "Arena bytes up to the end of the newest body that the peer released."),
	{ "seen", T_INT, offsetof(struct cursors, seen), 0, "The peer's counter, as it was last." },
	{ "off", T_BOOL, offsetof(struct cursors, off), 0,
	  "True if send() and take() are to return None: something has ended." },
	{ "held", T_BOOL, offsetof(struct cursors, held), 0,
	  "True while take() is to return None: the message is one that somebody has." },
	{ "checks_abort", T_BOOL, offsetof(struct cursors, checks_abort), 0,
	  "True if the peer's abort flag is looked at first." },
	{ NULL, 0, 0, 0, NULL },
};

static PyType_Slot cursors_slots[] = {
	{ Py_tp_doc, PyDoc_STR(
"Cursors(depth, slots, arena, arena_bytes, /)\n--\n\n"
"Cursors of one direction of a queue, for code that keeps them itself, like l3l2q.simpler: its\n"
"ring and its arena are at these offsets. Endpoint.bind() says where the memory is.") },
	{ Py_tp_init, cursors_init },
	{ Py_tp_dealloc, cursors_dealloc },
	{ Py_tp_methods, cursors_methods },
	{ Py_tp_members, cursors_members },
	{ 0, NULL },
};

PyType_Spec cursors_spec = {
	.name = "l3l2q._l3l2q.Cursors",
	.basicsize = sizeof(struct cursors),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = cursors_slots,
};
