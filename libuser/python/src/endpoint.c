// SPDX-License-Identifier: MIT
/* Endpoint: its life, what it says of itself, waiting, and raw regions. */
#include "pyl3l2q.h"


/* ---- life ---------------------------------------------------------------- */

PyObject *endpoint_new(struct state *state, struct l3l2q_ep *ep, struct external *external,
		       const struct l3l2q_attr *attr)
{
	struct endpoint *e = (struct endpoint *)PyType_GenericAlloc(state->endpoint, 0);
	struct l3l2q_ep_info info;

	if (!e) {
		l3l2q_close(ep);
		external_free(external);
		return NULL;
	}
	l3l2q_ep_info(ep, &info);
	e->state = state;
	e->ep = ep;
	e->external = external;
	e->users = 1;
	e->tx.bit = 1;
	e->rx.bit = 2;
	e->any.bit = 4;
	e->payload = info.payload;
	e->payload_bytes = info.payload_bytes;
	e->role = info.role;
	e->copied = info.memory == L3L2Q_MEMORY_COPIED;
	e->look_ns = e->copied ? 0 : look_ns(attr);
	endpoint_link(e);
	return (PyObject *)e;
}

/* End this side, and calls of other threads. Memory goes once no view of it is left. */
void endpoint_shut(struct endpoint *e)
{
	if (e->closed)
		return;
	e->closed = true;
	Py_BEGIN_ALLOW_THREADS
	l3l2q_detach(e->ep);
	Py_END_ALLOW_THREADS
	calls_wait(e);
	endpoint_unuse(e);
}

static void endpoint_dealloc(struct endpoint *e)
{
	PyTypeObject *type = Py_TYPE(OBJECT(e));

	PyObject_GC_UnTrack(e);
	if (e->users)
		endpoint_shut(e);
	endpoint_unlink(e);
	PyMem_Free(e->dropped);
	PyObject_GC_Del(e);
	Py_DECREF(OBJECT(type));
}

static int endpoint_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct endpoint *e = (struct endpoint *)self;

	Py_VISIT(Py_TYPE(self));
	return e->external ? external_traverse(e->external, visit, arg) : 0;
}

/* End a cycle: only what an external endpoint has of its caller can be part of one. */
static void endpoint_finalize(PyObject *self)
{
	struct endpoint *e = (struct endpoint *)self;

	if (e->external)
		endpoint_shut(e);
}

static PyObject *endpoint_close(struct endpoint *e, PyObject *unused)
{
	(void)unused;
	if (is_copying(e))
		return raise_class(e->state, BUSY_ERROR, e, "close", EBUSY,
				   "a copy function must not use its endpoint");
	endpoint_shut(e);
	Py_RETURN_NONE;
}

static PyObject *endpoint_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	Py_INCREF(self);
	return self;
}

static PyObject *endpoint_exit(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs)
{
	(void)args;
	(void)nargs;
	return endpoint_close(e, NULL);
}

struct simple_call {
	int (*function)(struct l3l2q_ep *ep);
};

static int do_simple(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct simple_call *c = arg;

	(void)timeout_ns;
	return c->function(e->ep);
}

/* A call on the endpoint that takes nothing and does not wait. */
static PyObject *call_simple(struct endpoint *e, const char *op, int (*function)(struct l3l2q_ep *))
{
	struct simple_call c = { function };
	int ret;

	if (call_begin(e, &e->any, op))
		return NULL;
	ret = call_once(e, do_simple, &c, true);
	if (call_finish(e, &e->any, op, ret))
		return NULL;
	return PyLong_FromLong(ret);
}

static PyObject *none_for(PyObject *result)
{
	if (!result)
		return NULL;
	Py_DECREF(result);
	Py_RETURN_NONE;
}

static PyObject *endpoint_open_peer(struct endpoint *e, PyObject *unused)
{
	(void)unused;
	return call_simple(e, "open_peer", l3l2q_open_peer);
}

static PyObject *endpoint_detach(struct endpoint *e, PyObject *unused)
{
	(void)unused;
	return none_for(call_simple(e, "detach", l3l2q_detach));
}

static PyObject *endpoint_abort(struct endpoint *e, PyObject *unused)
{
	(void)unused;
	return none_for(call_simple(e, "abort", l3l2q_abort));
}

static PyObject *endpoint_interrupt(struct endpoint *e, PyObject *unused)
{
	(void)unused;
	if (call_begin(e, &e->any, "interrupt"))
		return NULL;
	e->interrupted = e->tx.bit | e->rx.bit | e->any.bit;
	l3l2q_interrupt(e->ep);
	call_end(e, &e->any);
	Py_RETURN_NONE;
}

static PyObject *endpoint_fileno(struct endpoint *e, PyObject *unused)
{
	(void)unused;
	return call_simple(e, "fileno", l3l2q_fd);
}

static PyObject *half_of(struct endpoint *e, struct half *half, const char *name,
			 PyObject *(*make)(struct endpoint *))
{
	if (call_begin(e, &e->any, name))
		return NULL;
	if (!l3l2q_ep_producer(e->ep))
		raise_class(e->state, UNAVAILABLE, e, name, EOPNOTSUPP, "a raw region has no queue");
	call_end(e, &e->any);
	if (PyErr_Occurred())
		return NULL;
	if (!half->object)
		return half->object = make(e);
	Py_INCREF(half->object);
	return half->object;
}

static PyObject *endpoint_producer(struct endpoint *e, void *unused)
{
	(void)unused;
	return half_of(e, &e->tx, "producer", producer_new);
}

static PyObject *endpoint_consumer(struct endpoint *e, void *unused)
{
	(void)unused;
	return half_of(e, &e->rx, "consumer", consumer_new);
}

/* ---- what it is ---------------------------------------------------------- */

static int get_info(struct endpoint *e, const char *op, struct l3l2q_ep_info *info)
{
	if (call_begin(e, &e->any, op))
		return -1;
	l3l2q_ep_info(e->ep, info);
	call_end(e, &e->any);
	return 0;
}

static PyObject *layout_of(struct endpoint *e, const struct l3l2q_layout *l)
{
	if (!l->depth)
		Py_RETURN_NONE;
	return PyObject_CallFunction(e->state->values[LAYOUT], "KKKKKKKKK",
		(unsigned long long)l->depth, (unsigned long long)l->input_desc_offset,
		(unsigned long long)l->output_desc_offset,
		(unsigned long long)l->input_arena_offset,
		(unsigned long long)l->output_arena_offset,
		(unsigned long long)l->input_arena_bytes,
		(unsigned long long)l->output_arena_bytes,
		(unsigned long long)l->payload_bytes, (unsigned long long)l->counter_bytes);
}

static PyObject *endpoint_info(struct endpoint *e, void *unused)
{
	PyObject *role, *memory = NULL, *binding = NULL, *layout = NULL, *info = NULL;
	struct l3l2q_ep_info i;

	(void)unused;
	if (get_info(e, "info", &i))
		return NULL;
	/* Each of these runs Python code, which may raise. */
	role = value_of(e->state, ROLE, i.role);
	if (role)
		memory = value_of(e->state, MEMORY, i.memory);
	if (memory)
		binding = value_of(e->state, BINDING, i.binding);
	if (binding)
		layout = layout_of(e, &i.layout);
	if (layout)
		info = PyObject_CallFunction(e->state->values[INFO], "sOOIIKKKKKOssO(KK)s",
			i.transport, role, memory, i.window, i.region_version,
			(unsigned long long)i.region_id,
			(unsigned long long)(uintptr_t)i.payload,
			(unsigned long long)(uintptr_t)i.counters,
			(unsigned long long)i.payload_bytes,
			(unsigned long long)i.counter_bytes, layout, i.backend, i.copy_path,
			binding, (unsigned long long)i.identity[0],
			(unsigned long long)i.identity[1], i.tag);
	Py_XDECREF(role);
	Py_XDECREF(memory);
	Py_XDECREF(binding);
	Py_XDECREF(layout);
	return info;
}

static PyObject *endpoint_role(struct endpoint *e, void *unused)
{
	(void)unused;
	return value_of(e->state, ROLE, e->role);
}

static PyObject *endpoint_region_id(struct endpoint *e, void *unused)
{
	struct l3l2q_ep_info info;

	(void)unused;
	return get_info(e, "region_id", &info) ? NULL : PyLong_FromUnsignedLongLong(info.region_id);
}

PyObject *u64_tuple(const uint64_t *values, int n)
{
	PyObject *tuple = PyTuple_New(n), *value;
	int i;

	for (i = 0; tuple && i < n; i++) {
		value = PyLong_FromUnsignedLongLong(values[i]);
		if (!value || PyTuple_SetItem(tuple, i, value))
			Py_CLEAR(tuple);
	}
	return tuple;
}

static PyObject *endpoint_scalars(struct endpoint *e, void *unused)
{
	uint64_t scalars[L3L2Q_SCALARS];
	int n;

	(void)unused;
	if (call_begin(e, &e->any, "scalars"))
		return NULL;
	n = l3l2q_ep_scalars(e->ep, scalars);
	call_end(e, &e->any);
	return u64_tuple(scalars, n);
}

static PyObject *endpoint_stats(struct endpoint *e, void *unused)
{
	struct l3l2q_ep_stats s;

	(void)unused;
	if (call_begin(e, &e->any, "stats"))
		return NULL;
	l3l2q_ep_stats(e->ep, &s);
	call_end(e, &e->any);
	return PyObject_CallFunction(e->state->values[STATS], "KKKKKKKKK",
		(unsigned long long)s.sent, (unsigned long long)s.received,
		(unsigned long long)s.sent_bytes, (unsigned long long)s.received_bytes,
		(unsigned long long)s.kicks, (unsigned long long)s.sleeps,
		(unsigned long long)s.spins, (unsigned long long)s.syscalls,
		(unsigned long long)s.membarriers);
}

static PyObject *endpoint_error(struct endpoint *e, void *unused)
{
	PyObject *failure;

	(void)unused;
	if (call_begin(e, &e->any, "error"))
		return NULL;
	failure = failure_of(e);
	call_end(e, &e->any);
	return failure;
}

static PyObject *endpoint_closed(struct endpoint *e, void *unused)
{
	(void)unused;
	return PyBool_FromLong(e->closed);
}

#define DUMP_BYTES 4096

static int do_dump(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	(void)timeout_ns;
	return l3l2q_ep_dump(e->ep, arg, DUMP_BYTES);
}

static PyObject *endpoint_dump(struct endpoint *e, PyObject *unused)
{
	char text[DUMP_BYTES];

	(void)unused;
	if (call_begin(e, &e->any, "dump"))
		return NULL;
	call_once(e, do_dump, text, true);
	call_end(e, &e->any);
	return PyUnicode_FromString(text);
}

static PyObject *endpoint_repr(struct endpoint *e)
{
	const char *role = e->role == L3L2Q_ROLE_L3 ? "L3" : "L2";
	struct l3l2q_ep_info i;

	if (e->closed || endpoint_forked(e) || l3l2q_ep_info(e->ep, &i))
		return PyUnicode_FromFormat("<l3l2q.Endpoint %s, %s>", role,
					    e->closed ? "closed" : "of the parent process");
	return PyUnicode_FromFormat("<l3l2q.Endpoint %s, %s, region %lld, depth %lld>", role,
				    i.transport, (long long)i.region_id,
				    (long long)i.layout.depth);
}

/* ---- waiting ------------------------------------------------------------- */

static int get_events(PyObject *object, uint32_t *events)
{
	*events = L3L2Q_EVENT_IN | L3L2Q_EVENT_OUT;
	return get_u32(object, "events", events);
}

static PyObject *events_object(struct state *state, int events)
{
	PyObject *object = state->events[events & L3L2Q_EVENT_ALL];

	Py_INCREF(object);
	return object;
}

static int do_arm(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	(void)timeout_ns;
	return l3l2q_arm(e->ep, *(uint32_t *)arg);
}

static PyObject *endpoint_arm(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs,
			      PyObject *kwnames)
{
	PARAMETERS(names, "events");
	static const struct signature sig = { "arm", names, 1, 0 };
	PyObject *values[1];
	uint32_t events;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_events(values[0], &events) ||
	    call_begin(e, &e->any, "arm"))
		return NULL;
	ret = call_once(e, do_arm, &events, true);
	if (call_finish(e, &e->any, "arm", ret))
		return NULL;
	return events_object(e->state, ret);
}

static int do_wait(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	int ret = l3l2q_wait(e->ep, *(uint32_t *)arg, timeout_ns);

	return ret == -ETIMEDOUT && !timeout_ns ? -EAGAIN : ret;
}

static PyObject *endpoint_wait(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "events", "timeout");
	static const struct signature sig = { "wait", names, 2, 0 };
	PyObject *values[2];
	int64_t timeout_ns;
	uint32_t events;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_events(values[0], &events) ||
	    get_timeout(values[1], &timeout_ns) || call_begin(e, &e->any, "wait"))
		return NULL;
	ret = call_block(e, &e->any, "wait", any_begin, do_wait, &events, e->copied, timeout_ns);
	if (ret == -ETIMEDOUT)
		ret = 0;
	if (call_finish(e, &e->any, "wait", ret))
		return NULL;
	return events_object(e->state, ret);
}

static PyObject *endpoint_eventfd(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs,
				  PyObject *kwnames)
{
	PARAMETERS(names, "kind", "fd");
	static const struct signature sig = { "eventfd", names, 2, 2 };
	PyObject *values[2];
	uint32_t kind = 0;
	int32_t fd = -1;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_u32(values[0], "kind", &kind) ||
	    get_i32(values[1], "fd", &fd) || call_begin(e, &e->any, "eventfd"))
		return NULL;
	ret = l3l2q_eventfd(e->ep, kind, fd);
	if (call_finish(e, &e->any, "eventfd", ret))
		return NULL;
	Py_RETURN_NONE;
}

/* ---- counters and the payload --------------------------------------------- */

static int do_notify(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct counter_call *c = arg;

	(void)timeout_ns;
	return l3l2q_notify(e->ep, c->offset, c->op, c->value);
}

static int do_test(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct counter_call *c = arg;

	(void)timeout_ns;
	return l3l2q_test(e->ep, c->offset, c->op, c->value, &c->observed);
}

/* 1 once the comparison holds. */
int do_wait_counter(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct counter_call *c = arg;
	int ret;

	if (!timeout_ns) {
		ret = do_test(e, arg, 0);
		return ret ? ret : -EAGAIN;
	}
	ret = l3l2q_wait_counter(e->ep, c->offset, c->op, c->value, timeout_ns, &c->observed);
	return ret < 0 ? ret : 1;
}

static int get_counter(PyObject *const *values, const char *op_name, struct counter_call *c)
{
	return get_u64(values[0], "offset", UINT64_MAX, &c->offset) ||
	       get_i32(values[1], "value", &c->value) || get_u32(values[2], op_name, &c->op);
}

static PyObject *endpoint_notify(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs,
				 PyObject *kwnames)
{
	PARAMETERS(names, "offset", "value", "op");
	static const struct signature sig = { "notify", names, 3, 2 };
	struct counter_call c = { .op = L3L2Q_NOTIFY_SET };
	PyObject *values[3];
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_counter(values, "op", &c) ||
	    call_begin(e, &e->any, "notify"))
		return NULL;
	ret = call_once(e, do_notify, &c, e->copied);
	if (call_finish(e, &e->any, "notify", ret))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *endpoint_test(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "offset", "value", "cmp");
	static const struct signature sig = { "test", names, 3, 2 };
	struct counter_call c = { .op = L3L2Q_CMP_EQ };
	PyObject *values[3];
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_counter(values, "cmp", &c) ||
	    call_begin(e, &e->any, "test"))
		return NULL;
	ret = call_once(e, do_test, &c, e->copied);
	if (call_finish(e, &e->any, "test", ret))
		return NULL;
	return Py_BuildValue("(Ni)", PyBool_FromLong(ret), c.observed);
}

static int do_load(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	int ret = do_test(e, arg, timeout_ns);

	return ret < 0 ? ret : 0;
}

static PyObject *endpoint_load(struct endpoint *e, PyObject *offset)
{
	struct counter_call c = { .op = L3L2Q_CMP_EQ };
	int ret;

	if (get_u64(offset, "offset", UINT64_MAX, &c.offset) || call_begin(e, &e->any, "load"))
		return NULL;
	ret = call_once(e, do_load, &c, e->copied);
	if (call_finish(e, &e->any, "load", ret))
		return NULL;
	return PyLong_FromLong(c.observed);
}

static PyObject *endpoint_wait_counter(struct endpoint *e, PyObject *const *args,
				       Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "offset", "value", "cmp", "timeout");
	static const struct signature sig = { "wait_counter", names, 4, 2 };
	struct counter_call c = { .op = L3L2Q_CMP_EQ };
	PyObject *values[4];
	int64_t timeout_ns;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_counter(values, "cmp", &c) ||
	    get_timeout(values[3], &timeout_ns) || call_begin(e, &e->any, "wait_counter"))
		return NULL;
	ret = call_block(e, &e->any, "wait_counter", any_begin, do_wait_counter, &c, e->copied,
			 timeout_ns);
	if (call_finish(e, &e->any, "wait_counter", ret))
		return NULL;
	return PyLong_FromLong(c.observed);
}

static int do_payload_write(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct payload_call *c = arg;

	(void)timeout_ns;
	return l3l2q_payload_write(e->ep, c->offset, c->data, c->nbytes);
}

int do_payload_read(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	struct payload_call *c = arg;

	(void)timeout_ns;
	return l3l2q_payload_read(e->ep, c->offset, c->data, c->nbytes);
}

static int payload_call(struct endpoint *e, const char *op, library_call call,
			struct payload_call *c)
{
	int ret;

	if (call_begin(e, &e->any, op))
		return -1;
	ret = call_once(e, call, c, call_is_long(e, c->nbytes));
	return call_finish(e, &e->any, op, ret);
}

/* Copy between the payload range and a buffer, which the second parameter names. */
static PyObject *payload_copy(struct endpoint *e, const struct signature *sig, bool into_buffer,
			      PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
	library_call call = into_buffer ? do_payload_read : do_payload_write;
	struct payload_call c = { 0 };
	PyObject *values[2];
	struct body body;
	int ret;

	if (parse(sig, args, nargs, kwnames, values) ||
	    get_u64(values[0], "offset", UINT64_MAX, &c.offset) ||
	    get_body(values[1], sig->names[1], into_buffer, &body))
		return NULL;
	c.data = body.data;
	c.nbytes = body.nbytes;
	ret = payload_call(e, sig->name, call, &c);
	put_body(&body);
	if (ret)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *endpoint_payload_write(struct endpoint *e, PyObject *const *args,
					Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "offset", "data");
	static const struct signature sig = { "payload_write", names, 2, 2 };

	return payload_copy(e, &sig, false, args, nargs, kwnames);
}

static PyObject *endpoint_payload_read_into(struct endpoint *e, PyObject *const *args,
					    Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "offset", "buffer");
	static const struct signature sig = { "payload_read_into", names, 2, 2 };

	return payload_copy(e, &sig, true, args, nargs, kwnames);
}

static PyObject *endpoint_payload_read(struct endpoint *e, PyObject *const *args,
				       Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "offset", "nbytes");
	static const struct signature sig = { "payload_read", names, 2, 2 };
	struct payload_call c = { 0 };
	struct l3l2q_ep_info info;
	PyObject *values[2], *bytes;
	uint64_t nbytes = 0;

	if (parse(&sig, args, nargs, kwnames, values) ||
	    get_u64(values[0], "offset", UINT64_MAX, &c.offset) ||
	    get_u64(values[1], "nbytes", PY_SSIZE_T_MAX, &nbytes) ||
	    get_info(e, "payload_read", &info))
		return NULL;
	if (nbytes > info.payload_bytes)
		return raise_error(e->state, e, "payload_read", -ERANGE, NULL);
	bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)nbytes);
	if (!bytes)
		return NULL;
	c.data = PyBytes_AsString(bytes);
	c.nbytes = nbytes;
	if (payload_call(e, "payload_read", do_payload_read, &c))
		Py_CLEAR(bytes);
	return bytes;
}

/* ---- descriptors ----------------------------------------------------------- */

static PyObject *endpoint_read_slot(struct endpoint *e, PyObject *offset)
{
	struct l3l2q_desc desc = { 0 };
	struct payload_call c = { .data = &desc, .nbytes = sizeof(desc) };

	if (get_u64(offset, "offset", UINT64_MAX, &c.offset) ||
	    payload_call(e, "read_slot", do_payload_read, &c))
		return NULL;
	return u64_tuple((const uint64_t[]){ desc.seq, desc.opcode, desc.payload_offset,
					     desc.payload_nbytes }, 4);
}

/* The seq comes last: it is what makes a descriptor valid. */
int do_write_message(struct endpoint *e, void *arg, int64_t timeout_ns)
{
	const size_t head = offsetof(struct l3l2q_desc, opcode);
	struct write_call *c = arg;
	int ret = 0;

	(void)timeout_ns;
	if (c->desc.payload_nbytes)
		ret = l3l2q_payload_write(e->ep, c->desc.payload_offset, c->data,
					  c->desc.payload_nbytes);
	if (!ret)
		ret = l3l2q_payload_write(e->ep, c->slot + head, &c->desc.opcode,
					  sizeof(c->desc) - head);
	return ret ? ret : l3l2q_payload_write(e->ep, c->slot, &c->desc.seq, head);
}

static int write_message(struct endpoint *e, struct write_call *c)
{
	int ret;

	if (call_begin(e, &e->any, "write_message"))
		return -1;
	ret = call_once(e, do_write_message, c, call_is_long(e, c->desc.payload_nbytes));
	return call_finish(e, &e->any, "write_message", ret);
}

static PyObject *endpoint_write_message(struct endpoint *e, PyObject *const *args,
					Py_ssize_t nargs, PyObject *kwnames)
{
	PARAMETERS(names, "slot", "seq", "opcode", "payload_offset", "nbytes", "body");
	static const struct signature sig = { "write_message", names, 6, 5 };
	uint64_t slot, seq, opcode, offset, nbytes;
	PyObject *values[6];
	struct write_call c;
	struct body body;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) ||
	    get_u64(values[0], "slot", UINT64_MAX, &slot) ||
	    get_u64(values[1], "seq", UINT64_MAX, &seq) ||
	    get_u64(values[2], "opcode", UINT64_MAX, &opcode) ||
	    get_u64(values[3], "payload_offset", UINT64_MAX, &offset) ||
	    get_u64(values[4], "nbytes", PY_SSIZE_T_MAX, &nbytes) ||
	    get_body(values[5], "body", false, &body))
		return NULL;
	c = (struct write_call){ slot, { seq, opcode, offset, nbytes }, body.data };
	if (nbytes > body.nbytes) {
		PyErr_Format(PyExc_ValueError, "body: has %zu bytes of %zd", body.nbytes,
			     (Py_ssize_t)nbytes);
		ret = -1;
	} else {
		ret = write_message(e, &c);
	}
	put_body(&body);
	if (ret)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *endpoint_bind(struct endpoint *e, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "cursors", "thread");
	static const struct signature sig = { "bind", names, 2, 1 };
	PyObject *values[2];
	uint64_t thread = 0;

	if (parse(&sig, args, nargs, kwnames, values) ||
	    (values[1] != Py_None && get_u64(values[1], "thread", ULONG_MAX, &thread)) ||
	    cursors_bind(e, values[0], (unsigned long)thread))
		return NULL;
	Py_RETURN_NONE;
}

/* ---- the type ------------------------------------------------------------ */

static PyMethodDef endpoint_methods[] = {
	NOARGS("open_peer", endpoint_open_peer, PyDoc_STR(
"open_peer($self, /)\n--\n\n"
"Return a descriptor of the other end, once. attach() makes an endpoint of it, here or in\n"
"another process: hand it over by fork or send_fd(). It is close-on-exec.")),
	NOARGS("detach", endpoint_detach, PyDoc_STR(
"detach($self, /)\n--\n\n"
"End this side. The peer gets what was sent, then PeerDetached.")),
	NOARGS("abort", endpoint_abort, PyDoc_STR(
"abort($self, /)\n--\n\n"
"End this side with its abort flag set: the peer gets PeerAborted, calls here Aborted.")),
	NOARGS("interrupt", endpoint_interrupt, PyDoc_STR(
"interrupt($self, /)\n--\n\n"
"End one blocking call each of the producer, of the consumer, and of wait() or\n"
"wait_counter(), with Interrupted: those that block now, or else the next ones. Any\n"
"thread may call it.")),
	NOARGS("close", endpoint_close, PyDoc_STR(
"close($self, /)\n--\n\n"
"Detach and free. Calls of other threads on the endpoint end first, with Closed. While\n"
"views of messages or spans exist, the memory stays mapped. Idempotent.")),
	NOARGS("fileno", endpoint_fileno, PyDoc_STR(
"fileno($self, /)\n--\n\n"
"The descriptor for select, poll and epoll, which is readable when arm() has something to\n"
"report. It belongs to the endpoint. External endpoints have none.")),
	METHOD("arm", endpoint_arm, PyDoc_STR(
"arm($self, /, events=3)\n--\n\n"
"Ask to be woken for events of Event, then return those that hold now. To be called before\n"
"each sleep on fileno(); if it returns any, do not sleep.")),
	METHOD("wait", endpoint_wait, PyDoc_STR(
"wait($self, /, events=3, timeout=None)\n--\n\n"
"Sleep until there may be something to receive (Event.IN) or room for what was refused last\n"
"(Event.OUT). Return the events that hold, ABORT and HUP included, or none if the time passed.")),
	METHOD("eventfd", endpoint_eventfd, PyDoc_STR(
"eventfd($self, /, kind, fd)\n--\n\n"
"Signal an eventfd on an event of EventFdKind; -1 removes it. Over the driver only.")),
	METHOD("notify", endpoint_notify, PyDoc_STR(
"notify($self, /, offset, value, op=l3l2q.NotifyOp.SET)\n--\n\n"
"Change the counter at an offset, and wake those who wait for it.")),
	METHOD("test", endpoint_test, PyDoc_STR(
"test($self, /, offset, value, cmp=l3l2q.Compare.EQ)\n--\n\n"
"Compare a counter once. Return whether the comparison holds, and the counter's value.")),
	{ "load", (PyCFunction)(void (*)(void))endpoint_load, METH_O, PyDoc_STR(
"load($self, offset, /)\n--\n\nReturn the value of the counter at an offset.") },
	METHOD("wait_counter", endpoint_wait_counter, PyDoc_STR(
"wait_counter($self, /, offset, value, cmp=l3l2q.Compare.EQ, timeout=None)\n--\n\n"
"Sleep until a comparison holds, and return the counter's value.")),
	METHOD("payload_write", endpoint_payload_write, PyDoc_STR(
"payload_write($self, /, offset, data)\n--\n\n"
"Copy into the payload range of a raw region, or into a reserved span.")),
	METHOD("payload_read", endpoint_payload_read, PyDoc_STR(
"payload_read($self, /, offset, nbytes)\n--\n\n"
"Copy out of the payload range.")),
	METHOD("payload_read_into", endpoint_payload_read_into, PyDoc_STR(
"payload_read_into($self, /, offset, buffer)\n--\n\n"
"Fill a buffer from the payload range.")),
	{ "read_slot", (PyCFunction)(void (*)(void))endpoint_read_slot, METH_O, PyDoc_STR(
"read_slot($self, offset, /)\n--\n\n"
"Read the descriptor at an offset of the payload range: (seq, opcode, payload_offset, nbytes).\n"
"For code that keeps a queue's cursors itself, like l3l2q.simpler.") },
	METHOD("write_message", endpoint_write_message, PyDoc_STR(
"write_message($self, /, slot, seq, opcode, payload_offset, nbytes, body=None)\n--\n\n"
"Copy the first nbytes of a body to their place and write the descriptor at slot, the seq\n"
"last. notify() announces it. Nothing is checked but that both are in the payload range.")),
	METHOD("bind", endpoint_bind, PyDoc_STR(
"bind($self, /, cursors, thread=None)\n--\n\n"
"Let Cursors send or take through the endpoint, once; in the thread of this get_ident() alone.")),
	NOARGS("dump", endpoint_dump, PyDoc_STR(
"dump($self, /)\n--\n\n"
"Describe the state of the endpoint in text.")),
	NOARGS("__enter__", endpoint_enter, NULL),
	{ "__exit__", (PyCFunction)(void (*)(void))endpoint_exit, METH_FASTCALL, PyDoc_STR(
"__exit__($self, exc_type, exc_value, traceback, /)\n--\n\nClose the endpoint.") },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef endpoint_getset[] = {
	GETTER("producer", endpoint_producer, "The sending half; Unavailable if the region is raw."),
	GETTER("consumer", endpoint_consumer, "The receiving half; Unavailable if the region is raw."),
	GETTER("info", endpoint_info, "What the endpoint is: an Info."),
	GETTER("role", endpoint_role, "Role.L3 or Role.L2."),
	GETTER("region_id", endpoint_region_id, "Id of the region."),
	GETTER("scalars", endpoint_scalars, "The scalars that describe the region to L2."),
	GETTER("stats", endpoint_stats, "Counts since the endpoint was made: a Stats."),
	GETTER("error", endpoint_error, "The endpoint's first error, which sticks: a Failure or None."),
	GETTER("closed", endpoint_closed, "True after close()."),
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot endpoint_slots[] = {
	{ Py_tp_doc, PyDoc_STR(
"One end of a region, from create(), attach() or attach_external().\n\n"
"As a context manager it is closed at the end of the block.") },
	{ Py_tp_new, no_new },
	{ Py_tp_dealloc, endpoint_dealloc },
	{ Py_tp_traverse, endpoint_traverse },
	{ Py_tp_finalize, endpoint_finalize },
	{ Py_tp_repr, endpoint_repr },
	{ Py_tp_methods, endpoint_methods },
	{ Py_tp_getset, endpoint_getset },
	{ 0, NULL },
};

PyType_Spec endpoint_spec = {
	.name = "l3l2q.Endpoint",
	.basicsize = sizeof(struct endpoint),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = endpoint_slots,
};
