// SPDX-License-Identifier: MIT
/* The module: its functions and types. */
#include <math.h>

#include "pyl3l2q.h"

PyObject *no_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	(void)args;
	(void)kwargs;
	PyErr_Format(PyExc_TypeError, "%R is not made by a call of it", (PyObject *)type);
	return NULL;
}

/* ---- parameters ------------------------------------------------------------- */

/* Seconds to nanoseconds; None is 0, and 0 is @off. */
static int get_duration(PyObject *object, const char *name, uint64_t off, uint64_t *ns)
{
	double seconds;

	if (!object || object == Py_None)
		return 0;
	seconds = PyFloat_AsDouble(object);
	if (seconds == -1.0 && PyErr_Occurred())
		return -1;
	if (isnan(seconds) || seconds < 0 || seconds > 1e9) {
		PyErr_Format(PyExc_ValueError, "%s: 0 ... 1e9 seconds or None were expected", name);
		return -1;
	}
	*ns = seconds > 0 ? (uint64_t)ceil(seconds * 1e9) : off;
	return 0;
}

static int get_flag(PyObject *object, uint32_t flag, uint32_t *flags)
{
	int yes = object ? PyObject_IsTrue(object) : 0;

	if (yes > 0)
		*flags |= flag;
	return yes < 0 ? -1 : 0;
}

int get_tuning(PyObject *const *values, struct l3l2q_attr *attr)
{
	/* Signals have to be seen to. */
	attr->flags |= L3L2Q_ATTR_INTERRUPTIBLE;
	return get_u32(values[0], "window", &attr->window) ||
	       get_duration(values[1], "spin", L3L2Q_SPIN_OFF, &attr->spin_ns) ||
	       get_duration(values[2], "nap", 1, &attr->nap_ns) ||
	       get_flag(values[3], L3L2Q_ATTR_SILENT_PEER, &attr->flags) ||
	       get_flag(values[4], L3L2Q_ATTR_FENCED, &attr->flags);
}

static int get_identity(PyObject *object, struct l3l2q_attr *attr)
{
	PyObject *tuple;
	int ret = -1;

	if (!object)
		return 0;
	tuple = PySequence_Tuple(object);
	if (tuple && PyTuple_Size(tuple) == 2)
		ret = get_u64(PyTuple_GetItem(tuple, 0), "identity", UINT64_MAX, &attr->identity[0]) ||
		      get_u64(PyTuple_GetItem(tuple, 1), "identity", UINT64_MAX, &attr->identity[1]);
	else if (tuple)
		PyErr_SetString(PyExc_ValueError, "identity: two ints were expected");
	Py_XDECREF(tuple);
	return ret;
}

static int get_node(PyObject *object, struct l3l2q_attr *attr)
{
	if (!object || object == Py_None)
		return 0;
	attr->flags |= L3L2Q_ATTR_NUMA;
	return get_i32(object, "numa_node", &attr->numa_node);
}

/* ---- functions -------------------------------------------------------------- */

enum {
	ARG_TRANSPORT, ARG_DEPTH, ARG_INPUT, ARG_OUTPUT, ARG_PAYLOAD, ARG_COUNTER, ARG_ROLE,
	ARG_TAG, ARG_NODE, ARG_COHERENT, ARG_SHARE, ARG_VERSION, ARG_BINDING, ARG_IDENTITY,
	ARG_TUNING, ARGS = ARG_TUNING + TUNING_COUNT
};

static int get_attr(PyObject *const *values, struct l3l2q_attr *attr)
{
	return get_u32(values[ARG_DEPTH], "depth", &attr->depth) ||
	       get_u64(values[ARG_INPUT], "input_arena_bytes", UINT64_MAX,
		       &attr->input_arena_bytes) ||
	       get_u64(values[ARG_OUTPUT], "output_arena_bytes", UINT64_MAX,
		       &attr->output_arena_bytes) ||
	       get_u64(values[ARG_PAYLOAD], "payload_bytes", UINT64_MAX, &attr->payload_bytes) ||
	       get_u64(values[ARG_COUNTER], "counter_bytes", UINT64_MAX, &attr->counter_bytes) ||
	       get_u32(values[ARG_ROLE], "role", &attr->role) ||
	       get_node(values[ARG_NODE], attr) ||
	       get_flag(values[ARG_COHERENT], L3L2Q_ATTR_COHERENT, &attr->flags) ||
	       get_flag(values[ARG_SHARE], L3L2Q_ATTR_SHARE_ADDRESSES, &attr->flags) ||
	       get_u32(values[ARG_VERSION], "region_version", &attr->region_version) ||
	       get_u32(values[ARG_BINDING], "binding", &attr->binding) ||
	       get_identity(values[ARG_IDENTITY], attr) ||
	       get_tuning(values + ARG_TUNING, attr);
}

static PyObject *raise_create(struct state *state, int ret, const struct l3l2q_failure *why)
{
	char text[512];

	if (ret != -ENOENT && ret != -EPROTONOSUPPORT)
		return raise_error(state, NULL, "create", ret, why->text);
	PyOS_snprintf(text, sizeof(text), "%s; the driver is l3l2q.ko (make modules, make install, "
		      "modprobe l3l2q), and \"memfd\" needs none", why->text);
	return raise_error(state, NULL, "create", ret, text);
}

static PyObject *module_create(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "transport", "depth", "input_arena_bytes", "output_arena_bytes",
		   "payload_bytes", "counter_bytes", "role", "tag", "numa_node", "coherent",
		   "share_addresses", "region_version", "binding", "identity", TUNING_NAMES);
	static const struct signature sig = { "create", names, 1, 0 };
	PyObject *values[ARGS], *transport = NULL, *tag = NULL;
	struct state *state = PyModule_GetState(module);
	struct l3l2q_failure why = { { 0 } };
	struct l3l2q_attr attr = { 0 };
	struct l3l2q_ep *ep = NULL;
	int ret = RAISED;

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	if (!get_text(values[ARG_TRANSPORT], "transport", &transport, &attr.transport) &&
	    !get_text(values[ARG_TAG], "tag", &tag, &attr.tag) && !get_attr(values, &attr)) {
		Py_BEGIN_ALLOW_THREADS
		ret = l3l2q_create(&ep, &attr, &why);
		Py_END_ALLOW_THREADS
	}
	Py_XDECREF(transport);
	Py_XDECREF(tag);
	if (!ret)
		return endpoint_new(state, ep, NULL, &attr);
	return ret == RAISED ? NULL : raise_create(state, ret, &why);
}

static PyObject *module_attach(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
			       PyObject *kwnames)
{
	PARAMETERS(names, "fd", TUNING_NAMES);
	static const struct signature sig = { "attach", names, 1, 1 };
	struct state *state = PyModule_GetState(module);
	struct l3l2q_failure why = { { 0 } };
	PyObject *values[1 + TUNING_COUNT];
	struct l3l2q_attr attr = { 0 };
	struct l3l2q_ep *ep;
	int32_t fd = -1;
	int ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_i32(values[0], "fd", &fd) ||
	    get_tuning(values + 1, &attr))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	ret = l3l2q_attach(&ep, fd, &attr, &why);
	Py_END_ALLOW_THREADS
	return ret ? raise_error(state, NULL, "attach", ret, why.text) :
	       endpoint_new(state, ep, NULL, &attr);
}

static PyObject *module_send_fd(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
				PyObject *kwnames)
{
	PARAMETERS(names, "sock", "fd");
	static const struct signature sig = { "send_fd", names, 2, 2 };
	PyObject *values[2];
	int32_t fd = -1;
	int sock, ret;

	if (parse(&sig, args, nargs, kwnames, values) || get_i32(values[1], "fd", &fd))
		return NULL;
	sock = PyObject_AsFileDescriptor(values[0]);
	if (sock < 0)
		return NULL;
	do {
		Py_BEGIN_ALLOW_THREADS
		ret = l3l2q_send_fd(sock, fd);
		Py_END_ALLOW_THREADS
	} while (ret == -EINTR && !PyErr_CheckSignals());
	if (!ret)
		Py_RETURN_NONE;
	return PyErr_Occurred() ? NULL :
	       raise_error(PyModule_GetState(module), NULL, "send_fd", ret, NULL);
}

static PyObject *module_recv_fd(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
				PyObject *kwnames)
{
	PARAMETERS(names, "sock");
	static const struct signature sig = { "recv_fd", names, 1, 1 };
	PyObject *values[1];
	int sock, ret;

	if (parse(&sig, args, nargs, kwnames, values))
		return NULL;
	sock = PyObject_AsFileDescriptor(values[0]);
	if (sock < 0)
		return NULL;
	do {
		Py_BEGIN_ALLOW_THREADS
		ret = l3l2q_recv_fd(sock);
		Py_END_ALLOW_THREADS
	} while (ret == -EINTR && !PyErr_CheckSignals());
	if (ret >= 0)
		return PyLong_FromLong(ret);
	return PyErr_Occurred() ? NULL :
	       raise_error(PyModule_GetState(module), NULL, "recv_fd", ret, NULL);
}

static PyMethodDef module_methods[] = {
	METHOD("create", module_create, PyDoc_STR(
"create($module, /, transport=None, *, depth=0, input_arena_bytes=0, output_arena_bytes=0, "
"payload_bytes=0, counter_bytes=0, role=l3l2q.Role.L3, window=1, tag=None, spin=None, nap=None, "
"numa_node=None, silent_peer=False, coherent=False, share_addresses=False, fenced=False, "
"region_version=0, binding=l3l2q.Binding.L3Q2, identity=(0, 0))\n--\n\n"
"Make a region, and the endpoint of role of it.\n\n"
"A queue has a depth, a power of two, and two arenas, multiples of 64 bytes. A raw region has\n"
"payload_bytes and counter_bytes instead.\n\n"
"transport: \"driver\" (None), \"driver:PATH\", \"pci\", \"pci:NAME\", \"dmabuf:FD\",\n"
"\"ascend:VA:BYTES\", or \"memfd\", which needs no driver.\n"
"window: messages that the consumer may hold at once.\n"
"tag: name of the queue for operators.\n"
"spin: longest spin before a call sleeps, in seconds; nap: longest sleep between two looks,\n"
"where nobody wakes.\n"
"l3l2q_create(3) describes the rest.")),
	METHOD("attach", module_attach, PyDoc_STR(
"attach($module, /, fd, *, window=1, spin=None, nap=None, silent_peer=False, fenced=False)\n"
"--\n\n"
"Make the other endpoint from a descriptor of open_peer(), which it owns from then on.")),
	METHOD("attach_external", module_attach_external, PyDoc_STR(
"attach_external($module, /, scalars, *, role, payload=None, counters=None, memory=None, "
"read=None, write=None, ctx=0, buffer_bytes=0, window=1, spin=None, nap=None, "
"silent_peer=False, fenced=False)\n--\n\n"
"Make an endpoint over memory that the caller has mapped, or has functions for.\n\n"
"Mapped: payload and counters are addresses or writable buffers. Copied: read(range, offset,\n"
"nbytes) returns bytes and write(range, offset, data) stores them; or both are addresses of\n"
"C functions as l3l2q_attach_external(3) has them, and ctx is their argument.")),
	METHOD("send_fd", module_send_fd, PyDoc_STR(
"send_fd($module, /, sock, fd)\n--\n\nSend a descriptor over a connected UNIX socket.")),
	METHOD("recv_fd", module_recv_fd, PyDoc_STR(
"recv_fd($module, /, sock)\n--\n\nReceive a descriptor of send_fd().")),
	{ NULL, NULL, 0, NULL },
};

/* ---- initialisation ---------------------------------------------------------- */

static const char *const value_names[VALUE_CLASSES] = {
	[ROLE] = "Role",
	[OPCODE] = "Opcode",
	[ERROR_KIND] = "ErrorKind",
	[MEMORY] = "Memory",
	[BINDING] = "Binding",
	[EVENT] = "Event",
	[LAYOUT] = "Layout",
	[INFO] = "Info",
	[STATS] = "Stats",
	[FAILURE] = "Failure",
};

static int values_init(struct state *state)
{
	PyObject *module = PyImport_ImportModule("l3l2q._types");
	unsigned int i;

	if (!module)
		return -1;
	for (i = 0; i < VALUE_CLASSES; i++) {
		state->values[i] = PyObject_GetAttrString(module, value_names[i]);
		if (!state->values[i])
			break;
	}
	Py_DECREF(module);
	if (i < VALUE_CLASSES)
		return -1;
	for (i = 0; i <= L3L2Q_OP_ERROR; i++) {
		state->opcodes[i] = PyObject_CallFunction(state->values[OPCODE], "I", i);
		if (!state->opcodes[i])
			return -1;
	}
	for (i = 0; i <= L3L2Q_EVENT_ALL; i++) {
		state->events[i] = value_of(state, EVENT, (unsigned long)i);
		if (!state->events[i])
			return -1;
	}
	module = PyImport_ImportModule("threading");
	if (!module)
		return -1;
	state->main_thread = PyObject_GetAttrString(module, "main_thread");
	Py_DECREF(module);
	return state->main_thread ? 0 : -1;
}

static int add(PyObject *module, const char *name, PyTypeObject *type)
{
	if (!type)
		return -1;
	Py_INCREF(OBJECT(type));
	if (!PyModule_AddObject(module, name, (PyObject *)type))
		return 0;
	Py_DECREF(OBJECT(type));
	return -1;
}

static int add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **type)
{
	*type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
	return add(module, name, *type);
}

static PyStructSequence_Field received_fields[] = {
	{ "opcode", "DATA, ERROR or STOP" },
	{ "data", "the body, as bytes" },
	{ "seq", "position in its direction, from 1" },
	{ NULL, NULL },
};

static PyStructSequence_Desc received_desc = {
	"l3l2q.Received", "What Consumer.dequeue() returns.", received_fields, 3,
};

static PyStructSequence_Field header_fields[] = {
	{ "opcode", "DATA, ERROR or STOP" },
	{ "nbytes", "length of the body" },
	{ "seq", "position in its direction, from 1" },
	{ NULL, NULL },
};

static PyStructSequence_Desc header_desc = {
	"l3l2q.Header", "What Consumer.dequeue_into() returns.", header_fields, 3,
};

static int types_init(PyObject *module, struct state *state)
{
	state->received = PyStructSequence_NewType(&received_desc);
	state->header = PyStructSequence_NewType(&header_desc);
	return add(module, "Received", state->received) || add(module, "Header", state->header) ||
	       add_type(module, "Endpoint", &endpoint_spec, &state->endpoint) ||
	       add_type(module, "Producer", &producer_spec, &state->producer) ||
	       add_type(module, "Consumer", &consumer_spec, &state->consumer) ||
	       add_type(module, "Message", &message_spec, &state->message) ||
	       add_type(module, "Reservation", &reservation_spec, &state->reservation) ||
	       add_type(module, "Batch", &batch_spec, &state->batch) ||
	       add_type(module, "Cursors", &cursors_spec, &state->cursors);
}

static int module_exec(PyObject *module)
{
	struct state *state = PyModule_GetState(module);

	if (calls_init() || errors_init(state) || values_init(state) || types_init(module, state))
		return -1;
	return PyModule_AddStringConstant(module, "version", l3l2q_version());
}

static PyModuleDef_Slot module_slots[] = {
	{ Py_mod_exec, module_exec },
	{ 0, NULL },
};

/* The state is never cleared: endpoints use it until the interpreter has ended. */
static struct PyModuleDef module_def = {
	PyModuleDef_HEAD_INIT,
	.m_name = "l3l2q._l3l2q",
	.m_doc = PyDoc_STR("The extension module of l3l2q."),
	.m_size = sizeof(struct state),
	.m_methods = module_methods,
	.m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__l3l2q(void)
{
	return PyModuleDef_Init(&module_def);
}
