// SPDX-License-Identifier: MIT
/* Producer, Reservation and Batch: sending. */
#include "pyl3l2q.h"

/* ---- beginning ------------------------------------------------------------ */

static int do_publish(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	(void)arg;
	(void)timeout_ns;
	return l3l2q_batch_publish(l3l2q_ep_producer(e->ep));
}

void finish_dropped(struct endpoint *e)
{
	if (e->cancel)
		l3l2q_cancel(l3l2q_ep_producer(e->ep), &e->cancelled);
	e->cancel = false;
	if (!e->publish)
		return;
	e->publish = false;
	call_once(e, do_publish, NULL, e->copied);
}

/* The same now, if this thread may be in this half. */
static void try_finish_dropped(struct endpoint *e)
{
	if (e->tx.busy || is_copying(e))
		return;
	e->tx.busy = true;
	endpoint_use(e);
	call_end(e, &e->tx);
}

/* Begin a call that sends, which while a span is reserved would end the endpoint. */
static int send_begin(struct endpoint *e, const char *op)
{
	if (call_begin(e, &e->tx, op))
		return -1;
	if (!e->reservation)
		return 0;
	call_end(e, &e->tx);
	raise_class(e->state, BUSY_ERROR, e, op, EBUSY, "a span is reserved: commit or cancel it first");
	return -1;
}

static int get_opcode(struct endpoint *e, const char *op, PyObject *object, uint32_t *opcode)
{
	*opcode = L3L2Q_OP_DATA;
	if (get_u32(object, "opcode", opcode))
		return -1;
	if (*opcode == L3L2Q_OP_DATA || *opcode == L3L2Q_OP_ERROR)
		return 0;
	raise_class(e->state, INVALID_ARGUMENT, NULL, op, EINVAL,
		    *opcode == L3L2Q_OP_STOP ? "opcode: stop() sends STOP" :
		    "opcode: DATA or ERROR was expected");
	return -1;
}

/* ---- whole messages ------------------------------------------------------- */

struct send_call {
	struct body body;
	uint32_t opcode;
};

static int do_enqueue(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(e->ep);
	struct send_call *c = arg;

	if (!timeout_ns)
		return l3l2q_try_enqueue(p, c->opcode, c->body.data, c->body.nbytes);
	return l3l2q_enqueue(p, c->opcode, c->body.data, c->body.nbytes, timeout_ns);
}

static PyObject *producer_enqueue(struct half_object *p, PyObject *const *args, Py_ssize_t nargs,
				  PyObject *kwnames)
{
	PARAMETERS(names, "body", "timeout", "opcode");
	static const struct signature sig = { "enqueue", names, 3, 0 };
	struct endpoint *e = p->e;
	struct send_call c;
	PyObject *values[3];
	int64_t timeout_ns;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[1], &timeout_ns) ||
	    get_opcode(e, "producer.enqueue", values[2], &c.opcode) ||
	    get_body(values[0], "body", false, &c.body))
		return NULL;
	ret = send_begin(e, "producer.enqueue");
	if (!ret) {
		ret = call_block(e, &e->tx, "producer.enqueue", send_begin, do_enqueue, &c,
				 call_is_long(e, c.body.nbytes), timeout_ns);
		ret = call_finish(e, &e->tx, "producer.enqueue", ret);
	}
	put_body(&c.body);
	if (ret)
		return NULL;
	Py_RETURN_NONE;
}

/* True, or False if there is no room. */
static PyObject *try_finish(struct endpoint *e, const char *op, int ret)
{
	if (call_finish(e, &e->tx, op, ret == -EAGAIN ? 0 : ret))
		return NULL;
	return PyBool_FromLong(ret != -EAGAIN);
}

static PyObject *producer_try_enqueue(struct half_object *p, PyObject *const *args,
				      Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "body", "opcode");
	static const struct signature sig = { "try_enqueue", names, 2, 0 };
	PyObject *values[2], *result = NULL;
	struct endpoint *e = p->e;
	struct send_call c;

	if (parse(&sig, args, nargs, kwnames, values) ||
	    get_opcode(e, "producer.try_enqueue", values[1], &c.opcode) ||
	    get_body(values[0], "body", false, &c.body))
		return NULL;
	if (!send_begin(e, "producer.try_enqueue"))
		result = try_finish(e, "producer.try_enqueue",
				    call_once(e, do_enqueue, &c, call_is_long(e, c.body.nbytes)));
	put_body(&c.body);
	return result;
}

static int do_stop(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(e->ep);

	(void)arg;
	return timeout_ns ? l3l2q_stop(p, timeout_ns) : l3l2q_try_stop(p);
}

static int stop_begin(struct endpoint *e, const char *op)
{
	if (e->role != L3L2Q_ROLE_L3) {
		raise_class(e->state, INVALID_ARGUMENT, e, op, EINVAL, "only L3 sends STOP");
		return -1;
	}
	return send_begin(e, op);
}

static PyObject *producer_stop(struct half_object *p, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "timeout");
	static const struct signature sig = { "stop", names, 1, 0 };
	struct endpoint *e = p->e;
	PyObject *values[1];
	int64_t timeout_ns;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[0], &timeout_ns) ||
	    stop_begin(e, "producer.stop"))
		return NULL;
	ret = call_block(e, &e->tx, "producer.stop", send_begin, do_stop, NULL, e->copied,
			 timeout_ns);
	if (call_finish(e, &e->tx, "producer.stop", ret))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *producer_try_stop(struct half_object *p, PyObject *unused)
{
	(void)unused;
	if (stop_begin(p->e, "producer.try_stop"))
		return NULL;
	return try_finish(p->e, "producer.try_stop", call_once(p->e, do_stop, NULL, p->e->copied));
}

/* ---- gathered messages and runs ------------------------------------------- */

struct many_call {
	struct bodies bodies;
	struct iovec *iov;		/* of one message, or NULL */
	struct l3l2q_body *run;		/* of one each, or NULL */
	size_t nbytes;
	uint32_t opcode;
};

static int do_enqueuev(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(e->ep);
	struct many_call *c = arg;

	return timeout_ns ? l3l2q_enqueuev(p, c->opcode, c->iov, c->bodies.count, timeout_ns)
			  : l3l2q_try_enqueuev(p, c->opcode, c->iov, c->bodies.count);
}

static int do_enqueue_run(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(e->ep);
	struct many_call *c = arg;

	return timeout_ns ? l3l2q_enqueue_run(p, c->opcode, c->run, c->bodies.count, timeout_ns)
			  : l3l2q_try_enqueue_run(p, c->opcode, c->run, c->bodies.count);
}

static void put_many(struct many_call *c)
{
	put_bodies(&c->bodies);
	PyMem_Free(c->iov);
	PyMem_Free(c->run);
}

static int get_many(PyObject *sequence, const char *name, bool gathered, struct many_call *c)
{
	struct body *body;
	int i;

	c->iov = NULL;
	c->run = NULL;
	c->nbytes = 0;
	if (get_bodies(sequence, name, &c->bodies))
		return -1;
	if (gathered)
		c->iov = PyMem_Calloc((size_t)c->bodies.count + 1, sizeof(*c->iov));
	else
		c->run = PyMem_Calloc((size_t)c->bodies.count + 1, sizeof(*c->run));
	if (!c->iov && !c->run) {
		put_many(c);
		PyErr_NoMemory();
		return -1;
	}
	for (i = 0; i < c->bodies.count; i++) {
		body = &c->bodies.body[i];
		c->nbytes += body->nbytes;
		if (gathered)
			c->iov[i] = (struct iovec){ body->data, body->nbytes };
		else
			c->run[i] = (struct l3l2q_body){ body->data, body->nbytes };
	}
	return 0;
}

/*
 * Send several bodies, blocking if @block, as parts of one message or as a run. Return what
 * the library does, -EAGAIN included, or RAISED.
 */
static int send_many(struct endpoint *e, const char *op, bool gathered, bool block,
		     PyObject *const *values)
{
	library_call call = gathered ? do_enqueuev : do_enqueue_run;
	PyObject *opcode = values[block ? 2 : 1];
	int64_t timeout_ns = 0;
	struct many_call c;
	int ret = RAISED;
	bool is_long;

	if (get_opcode(e, op, opcode, &c.opcode) || (block && get_timeout(values[1], &timeout_ns)) ||
	    get_many(values[0], gathered ? "parts" : "bodies", gathered, &c))
		return RAISED;
	if (!gathered && !c.bodies.count) {
		ret = 0;
	} else if (!send_begin(e, op)) {
		is_long = call_is_long(e, c.nbytes);
		ret = block ? call_block(e, &e->tx, op, send_begin, call, &c, is_long, timeout_ns)
			    : call_once(e, call, &c, is_long);
		if (call_finish(e, &e->tx, op, ret == -EAGAIN ? 0 : ret))
			ret = RAISED;
	}
	put_many(&c);
	return ret;
}

static PyObject *producer_enqueuev(struct half_object *p, PyObject *const *args, Py_ssize_t nargs,
				   PyObject *kwnames)
{
	PARAMETERS(names, "parts", "timeout", "opcode");
	static const struct signature sig = { "enqueuev", names, 3, 1 };
	PyObject *values[3];

	if (parse(&sig, args, nargs, kwnames, values) ||
	    send_many(p->e, "producer.enqueuev", true, true, values) == RAISED)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *producer_try_enqueuev(struct half_object *p, PyObject *const *args,
				       Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "parts", "opcode");
	static const struct signature sig = { "try_enqueuev", names, 2, 1 };
	PyObject *values[2];
	int ret;

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	ret = send_many(p->e, "producer.try_enqueuev", true, false, values);
	return ret == RAISED ? NULL : PyBool_FromLong(ret != -EAGAIN);
}

static PyObject *producer_enqueue_run(struct half_object *p, PyObject *const *args,
				      Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "bodies", "timeout", "opcode");
	static const struct signature sig = { "enqueue_run", names, 3, 1 };
	PyObject *values[3];
	int ret;

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	ret = send_many(p->e, "producer.enqueue_run", false, true, values);
	return ret == RAISED ? NULL : PyLong_FromLong(ret);
}

static PyObject *producer_try_enqueue_run(struct half_object *p, PyObject *const *args,
					  Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "bodies", "opcode");
	static const struct signature sig = { "try_enqueue_run", names, 2, 1 };
	PyObject *values[2];
	int ret;

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	ret = send_many(p->e, "producer.try_enqueue_run", false, false, values);
	return ret == RAISED ? NULL : PyLong_FromLong(ret == -EAGAIN ? 0 : ret);
}

/* ---- spans ---------------------------------------------------------------- */

struct reserve_call {
	struct reservation *reservation;
	size_t nbytes;
	int count;
};

/* Takes the span even where the caller then cannot have it, so that it is cancelled. */
static int do_reserve(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct l3l2q_producer *p = l3l2q_ep_producer(e->ep);
	struct reserve_call *c = arg;
	struct l3l2q_reservation *r = &c->reservation->r;
	int ret;

	if (c->count == 1) {
		ret = timeout_ns ? l3l2q_reserve(p, c->nbytes, r, timeout_ns)
				 : l3l2q_try_reserve(p, c->nbytes, r);
		return ret ? ret : 1;
	}
	return timeout_ns ? l3l2q_reserve_run(p, c->nbytes, c->count, r, timeout_ns)
			  : l3l2q_try_reserve_run(p, c->nbytes, c->count, r);
}

static int get_reserve(PyObject *nbytes, PyObject *count, struct reserve_call *c)
{
	uint64_t bytes = 0, n = 1;

	if (get_u64(nbytes, "nbytes", PY_SSIZE_T_MAX, &bytes) ||
	    get_u64(count, "count", INT32_MAX, &n))
		return -1;
	c->nbytes = bytes;
	c->count = (int)n;
	if (n)
		return 0;
	PyErr_SetString(PyExc_ValueError, "count: has to be at least 1");
	return -1;
}

static PyObject *reserve(struct endpoint *e, const char *op, bool block, int64_t timeout_ns,
			 struct reserve_call *c)
{
	struct reservation *r;
	int ret;

	r = (struct reservation *)PyType_GenericAlloc(e->state->reservation, 0);
	if (!r)
		return NULL;
	span_init(&r->span, e);
	c->reservation = r;
	if (send_begin(e, op)) {
		Py_DECREF(OBJECT(r));
		return NULL;
	}
	ret = block ? call_block(e, &e->tx, op, send_begin, do_reserve, c, e->copied, timeout_ns)
		    : call_once(e, do_reserve, c, e->copied);
	if (ret > 0) {
		r->count = ret;
		r->active = true;
		e->reservation = r;
	}
	if (!call_finish(e, &e->tx, op, ret == -EAGAIN ? 0 : ret)) {
		if (ret > 0)
			return (PyObject *)r;
		Py_INCREF(Py_None);
	}
	Py_DECREF(OBJECT(r));
	return PyErr_Occurred() ? NULL : Py_None;
}

static PyObject *producer_reserve(struct half_object *p, PyObject *const *args, Py_ssize_t nargs,
				  PyObject *kwnames)
{
	PARAMETERS(names, "nbytes", "timeout", "count");
	static const struct signature sig = { "reserve", names, 3, 1 };
	struct reserve_call c;
	PyObject *values[3];
	int64_t timeout_ns;

	if (parse(&sig, args, nargs, kwnames, values) || get_timeout(values[1], &timeout_ns) ||
	    get_reserve(values[0], values[2], &c))
		return NULL;
	return reserve(p->e, "producer.reserve", true, timeout_ns, &c);
}

static PyObject *producer_try_reserve(struct half_object *p, PyObject *const *args,
				      Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "nbytes", "count");
	static const struct signature sig = { "try_reserve", names, 2, 1 };
	struct reserve_call c;
	PyObject *values[2];

	if (parse(&sig, args, nargs, kwnames, values) || get_reserve(values[0], values[1], &c))
		return NULL;
	return reserve(p->e, "producer.try_reserve", false, 0, &c);
}

static void reservation_forget(struct reservation *r)
{
	r->active = false;
	r->span.e->reservation = NULL;
}

static void reservation_dealloc(struct reservation *r)
{
	struct endpoint *e = r->span.e;

	if (r->active) {
		reservation_forget(r);
		if (!e->closed && !endpoint_forked(e)) {
			e->cancelled = r->r;
			e->cancel = true;
			try_finish_dropped(e);
		}
	}
	span_free(&r->span);
}

/* End the views of an active reservation and begin a call that ends it. */
static int reservation_begin(struct reservation *r, const char *op)
{
	struct endpoint *e = r->span.e;

	if (!r->active) {
		raise_class(e->state, HANDLE_ERROR, e, op, EINVAL,
			    "the span was committed or cancelled before");
		return -1;
	}
	return span_revoke(&r->span) || call_begin(e, &e->tx, op) ? -1 : 0;
}

static int reservation_do_commit(struct reservation *r, const char *op, uint32_t opcode, int count)
{
	struct endpoint *e = r->span.e;
	struct l3l2q_producer *p;
	int ret;

	if (reservation_begin(r, op))
		return -1;
	p = l3l2q_ep_producer(e->ep);
	ret = r->count == 1 ? l3l2q_commit(p, &r->r, opcode)
			    : l3l2q_commit_run(p, &r->r, opcode, count);
	reservation_forget(r);
	return call_finish(e, &e->tx, op, ret);
}

static int reservation_do_cancel(struct reservation *r, const char *op)
{
	struct endpoint *e = r->span.e;
	int ret;

	if (reservation_begin(r, op))
		return -1;
	ret = l3l2q_cancel(l3l2q_ep_producer(e->ep), &r->r);
	reservation_forget(r);
	return call_finish(e, &e->tx, op, ret);
}

static PyObject *reservation_commit(struct reservation *r, PyObject *const *args,
				    Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "opcode", "count");
	static const struct signature sig = { "commit", names, 2, 0 };
	uint64_t count = (uint64_t)r->count;
	PyObject *values[2];
	uint32_t opcode;

	if (parse(&sig, args, nargs, kwnames, values) ||
	    get_opcode(r->span.e, "reservation.commit", values[0], &opcode) ||
	    get_u64(values[1] == Py_None ? NULL : values[1], "count", (uint64_t)r->count, &count))
		return NULL;
	if (!count) {
		PyErr_SetString(PyExc_ValueError, "count: has to be at least 1");
		return NULL;
	}
	if (reservation_do_commit(r, "reservation.commit", opcode, (int)count))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *reservation_cancel(struct reservation *r, PyObject *unused)
{
	(void)unused;
	if (reservation_do_cancel(r, "reservation.cancel"))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *reservation_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	Py_INCREF(self);
	return self;
}

static PyObject *reservation_exit(struct reservation *r, PyObject *const *args, Py_ssize_t nargs)
{
	bool failed = nargs && args[0] != Py_None;

	if (!r->active || (r->span.e->closed && failed))
		Py_RETURN_NONE;
	if (!failed)
		return reservation_do_commit(r, "reservation.__exit__", L3L2Q_OP_DATA, r->count) ?
		       NULL : Py_BuildValue("");
	/* The exception that is under way tells more; the span goes with the object. */
	if (reservation_do_cancel(r, "reservation.__exit__"))
		PyErr_Clear();
	Py_RETURN_NONE;
}

static uint64_t reservation_bytes(const struct reservation *r)
{
	return r->r.nbytes * (uint64_t)r->count;
}

static int reservation_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
	struct reservation *r = (struct reservation *)self;

	view->obj = NULL;
	if (!r->active || r->span.e->closed || endpoint_forked(r->span.e))
		return span_refuse(&r->span, "the span is not reserved any more");
	return span_export(&r->span, view, r->r.data, reservation_bytes(r), false, flags);
}

static PyObject *reservation_data(struct reservation *r, void *unused)
{
	(void)unused;
	if (!r->active)
		return raise_class(r->span.e->state, HANDLE_ERROR, r->span.e, "reservation.data",
				   EINVAL, "the span was committed or cancelled before");
	return span_view(&r->span);
}

static Py_ssize_t reservation_length(PyObject *self)
{
	return ((struct reservation *)self)->count;
}

static PyObject *reservation_item(PyObject *self, Py_ssize_t i)
{
	struct reservation *r = (struct reservation *)self;
	PyObject *view, *slice;
	Py_ssize_t nbytes = (Py_ssize_t)r->r.nbytes;

	if (i < 0 || i >= r->count) {
		PyErr_SetString(PyExc_IndexError, "there is no such span");
		return NULL;
	}
	view = PyMemoryView_FromObject(self);
	if (!view)
		return NULL;
	slice = PySequence_GetSlice(view, i * nbytes, (i + 1) * nbytes);
	Py_DECREF(view);
	return slice;
}

static PyObject *reservation_nbytes(struct reservation *r, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(r->r.nbytes);
}

static PyObject *reservation_seq(struct reservation *r, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(r->r.seq);
}

static PyObject *reservation_offset(struct reservation *r, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(r->r.payload_offset);
}

static PyObject *reservation_active(struct reservation *r, void *unused)
{
	(void)unused;
	return PyBool_FromLong(r->active);
}

static PyMethodDef reservation_methods[] = {
	METHOD("commit", reservation_commit, PyDoc_STR(
"commit($self, /, opcode=l3l2q.Opcode.DATA, count=None)\n--\n\n"
"Send the span; of several, the first count of them, or all. Ends the views of it, and\n"
"raises BufferError, with nothing sent, if there are some besides that of data.")),
	NOARGS("cancel", reservation_cancel, PyDoc_STR(
"cancel($self, /)\n--\n\nGive the span back. Ends the views of it as commit() does.")),
	NOARGS("__enter__", reservation_enter, NULL),
	{ "__exit__", (PyCFunction)(void (*)(void))reservation_exit, METH_FASTCALL, PyDoc_STR(
"__exit__($self, exc_type, exc_value, traceback, /)\n--\n\n"
"Commit what is still reserved, or cancel it after an exception.") },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef reservation_getset[] = {
	GETTER("data", reservation_data, "A memoryview to write the message in place; of several, all of it."),
	GETTER("nbytes", reservation_nbytes, "Length of a span in bytes."),
	GETTER("seq", reservation_seq, "The position that the first message will have, from 1."),
	GETTER("payload_offset", reservation_offset, "Bytes from the start of the payload range."),
	GETTER("active", reservation_active, "True until it is committed or cancelled."),
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot reservation_slots[] = {
	{ Py_tp_doc, PyDoc_STR(
"Spans of the arena, from Producer.reserve(), to write messages in place.\n\n"
"len() is how many, and span[i] a memoryview of one. As a context manager it is committed at\n"
"the end of the block, and cancelled after an exception. A reservation that is dropped is\n"
"cancelled.") },
	{ Py_tp_new, no_new },
	{ Py_tp_dealloc, reservation_dealloc },
	{ Py_tp_methods, reservation_methods },
	{ Py_tp_getset, reservation_getset },
	{ Py_sq_length, reservation_length },
	{ Py_sq_item, reservation_item },
	{ Py_bf_getbuffer, reservation_getbuffer },
	{ Py_bf_releasebuffer, span_releasebuffer },
	{ 0, NULL },
};

PyType_Spec reservation_spec = {
	.name = "l3l2q.Reservation",
	.basicsize = sizeof(struct reservation),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = reservation_slots,
};

/* ---- batches -------------------------------------------------------------- */

static PyObject *producer_batch(struct half_object *p, PyObject *unused)
{
	struct batch *b = (struct batch *)PyType_GenericAlloc(p->e->state->batch, 0);

	(void)unused;
	if (!b)
		return NULL;
	Py_INCREF(OBJECT(p->e));
	b->e = p->e;
	return (PyObject *)b;
}

static void batch_dealloc(struct batch *b)
{
	PyTypeObject *type = Py_TYPE(OBJECT(b));
	struct endpoint *e = b->e;

	if (b->open && !e->closed && !endpoint_forked(e)) {
		e->publish = true;
		try_finish_dropped(e);
	}
	PyObject_Free(b);
	Py_DECREF(OBJECT(type));
	Py_XDECREF(OBJECT(e));
}

static PyObject *batch_enter(struct batch *b, PyObject *unused)
{
	struct endpoint *e = b->e;
	int ret;

	(void)unused;
	if (call_begin(e, &e->tx, "batch.__enter__"))
		return NULL;
	ret = l3l2q_batch_begin(l3l2q_ep_producer(e->ep));
	if (!ret)
		b->open = true;
	if (call_finish(e, &e->tx, "batch.__enter__", ret))
		return NULL;
	Py_INCREF(OBJECT(b));
	return (PyObject *)b;
}

static PyObject *batch_publish(struct batch *b, PyObject *unused)
{
	struct endpoint *e = b->e;
	int ret;

	(void)unused;
	if (!b->open)
		return raise_class(e->state, HANDLE_ERROR, e, "batch.publish", EINVAL,
				   "the batch is not open");
	if (call_begin(e, &e->tx, "batch.publish"))
		return NULL;
	b->open = false;
	ret = call_once(e, do_publish, NULL, e->copied);
	if (call_finish(e, &e->tx, "batch.publish", ret))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *batch_exit(struct batch *b, PyObject *const *args, Py_ssize_t nargs)
{
	bool failed = nargs && args[0] != Py_None;
	PyObject *result;

	if (!b->open)
		Py_RETURN_NONE;
	result = batch_publish(b, NULL);
	if (result || !failed)
		return result;
	PyErr_Clear();
	Py_RETURN_NONE;
}

static PyMethodDef batch_methods[] = {
	NOARGS("publish", batch_publish, PyDoc_STR(
"publish($self, /)\n--\n\nSend what was held back. The end of the block does so too.")),
	NOARGS("__enter__", batch_enter, PyDoc_STR(
"__enter__($self, /)\n--\n\nHold back what is sent from now on.")),
	{ "__exit__", (PyCFunction)(void (*)(void))batch_exit, METH_FASTCALL, PyDoc_STR(
"__exit__($self, exc_type, exc_value, traceback, /)\n--\n\nSend what was held back.") },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot batch_slots[] = {
	{ Py_tp_doc, PyDoc_STR(
"A context manager that holds back what is sent in its block and sends it at the end.") },
	{ Py_tp_new, no_new },
	{ Py_tp_dealloc, batch_dealloc },
	{ Py_tp_methods, batch_methods },
	{ 0, NULL },
};

PyType_Spec batch_spec = {
	.name = "l3l2q.Batch",
	.basicsize = sizeof(struct batch),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = batch_slots,
};

/* ---- the type ------------------------------------------------------------- */

int half_traverse(PyObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(OBJECT(((struct half_object *)self)->e));
	return 0;
}

PyObject *producer_new(struct endpoint *e)
{
	struct half_object *p = (struct half_object *)PyType_GenericAlloc(e->state->producer, 0);

	if (!p)
		return NULL;
	Py_INCREF(OBJECT(e));
	p->e = e;
	return (PyObject *)p;
}

static void producer_dealloc(struct half_object *p)
{
	PyTypeObject *type = Py_TYPE(OBJECT(p));
	struct endpoint *e = p->e;

	PyObject_GC_UnTrack(p);
	e->tx.object = NULL;
	PyObject_GC_Del(p);
	Py_DECREF(OBJECT(type));
	Py_DECREF(OBJECT(e));
}

static PyObject *producer_endpoint(struct half_object *p, void *unused)
{
	(void)unused;
	Py_INCREF(OBJECT(p->e));
	return (PyObject *)p->e;
}

static PyObject *ask_room(struct endpoint *e, const char *op,
			  int64_t (*ask)(struct l3l2q_producer *))
{
	int64_t room;

	if (call_begin(e, &e->tx, op))
		return NULL;
	room = ask(l3l2q_ep_producer(e->ep));
	if (call_finish(e, &e->tx, op, room < 0 ? (int)room : 0))
		return NULL;
	return PyLong_FromLongLong(room);
}

static PyObject *producer_room(struct half_object *p, void *unused)
{
	(void)unused;
	return ask_room(p->e, "producer.room", l3l2q_room);
}

static PyObject *producer_room_bytes(struct half_object *p, void *unused)
{
	(void)unused;
	return ask_room(p->e, "producer.room_bytes", l3l2q_room_bytes);
}

static PyObject *producer_look(struct half_object *p, PyObject *unused)
{
	(void)unused;
	return call_look(p->e, &p->e->tx, "producer.look", L3L2Q_EVENT_OUT);
}

static PyMethodDef producer_methods[] = {
	METHOD("enqueue", producer_enqueue, PyDoc_STR(
"enqueue($self, /, body=None, timeout=None, opcode=l3l2q.Opcode.DATA)\n--\n\n"
"Send a message, and wait for room. The body is copied.")),
	METHOD("try_enqueue", producer_try_enqueue, PyDoc_STR(
"try_enqueue($self, /, body=None, opcode=l3l2q.Opcode.DATA)\n--\n\n"
"Send a message if there is room; return whether there was.")),
	METHOD("enqueuev", producer_enqueuev, PyDoc_STR(
"enqueuev($self, /, parts, timeout=None, opcode=l3l2q.Opcode.DATA)\n--\n\n"
"Send one message whose body is gathered from several buffers.")),
	METHOD("try_enqueuev", producer_try_enqueuev, PyDoc_STR(
"try_enqueuev($self, /, parts, opcode=l3l2q.Opcode.DATA)\n--\n\n"
"Send such a message if there is room; return whether there was.")),
	METHOD("enqueue_run", producer_enqueue_run, PyDoc_STR(
"enqueue_run($self, /, bodies, timeout=None, opcode=l3l2q.Opcode.DATA)\n--\n\n"
"Send messages that are published at once. Waits for room for the first, and returns how\n"
"many were sent.")),
	METHOD("try_enqueue_run", producer_try_enqueue_run, PyDoc_STR(
"try_enqueue_run($self, /, bodies, opcode=l3l2q.Opcode.DATA)\n--\n\n"
"Send as many of the messages as there is room for; return how many.")),
	METHOD("reserve", producer_reserve, PyDoc_STR(
"reserve($self, /, nbytes, timeout=None, count=1)\n--\n\n"
"Take a span of the arena to write a message in place: a Reservation. With count, up to that\n"
"many spans of this size. Until it is committed or cancelled nothing else can be sent.")),
	METHOD("try_reserve", producer_try_reserve, PyDoc_STR(
"try_reserve($self, /, nbytes, count=1)\n--\n\n"
"Take such a span if there is room; else return None.")),
	NOARGS("look", producer_look, PyDoc_STR(
"look($self, /)\n--\n\n"
"Look whether what was refused last may go through, as Consumer.look() does.")),
	NOARGS("batch", producer_batch, PyDoc_STR(
"batch($self, /)\n--\n\n"
"A context manager that holds back what is sent in its block. At its end all of it becomes\n"
"visible, with one wake-up at most.")),
	METHOD("stop", producer_stop, PyDoc_STR(
"stop($self, /, timeout=None)\n--\n\nSend STOP, the last message of the input. L3 only.")),
	NOARGS("try_stop", producer_try_stop, PyDoc_STR(
"try_stop($self, /)\n--\n\nSend STOP if there is room; return whether there was.")),
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef producer_getset[] = {
	GETTER("endpoint", producer_endpoint, "The endpoint that it is a half of."),
	GETTER("room", producer_room, "Messages that the ring has room for now."),
	GETTER("room_bytes", producer_room_bytes, "Size of the largest body that there is room for now."),
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot producer_slots[] = {
	{ Py_tp_doc, PyDoc_STR("The sending half of an endpoint. For one thread at a time.") },
	{ Py_tp_new, no_new },
	{ Py_tp_dealloc, producer_dealloc },
	{ Py_tp_traverse, half_traverse },
	{ Py_tp_methods, producer_methods },
	{ Py_tp_getset, producer_getset },
	{ 0, NULL },
};

PyType_Spec producer_spec = {
	.name = "l3l2q.Producer",
	.basicsize = sizeof(struct half_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = producer_slots,
};
