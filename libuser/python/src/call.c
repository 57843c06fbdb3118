// SPDX-License-Identifier: MIT
/* Calls into the library: who may make one, and what can end it. */
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pyl3l2q.h"

/*
 * Longest sleep of a main thread between two looks for signals: one that comes just before
 * the thread sleeps does not end the sleep.
 */
#define SIGNAL_PERIOD_NS 250000000ll

/*
 * The longest look: less than what one that finds something saves, which is a turn of an
 * event loop with a sleep, and the other side's call to end that.
 */
#define LOOK_NS 10000
#define LOOK_TURNS 16		/* calls between two readings of the clock; smallest budget */
#define LOOK_CEILING (1u << 16)
#define LOOK_PERIOD 64		/* misses between two looks that ignore the budget */

unsigned int fork_generation;
_Thread_local const struct copying *copying;

static struct endpoint *endpoints;
static pthread_mutex_t inside_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t inside_left = PTHREAD_COND_INITIALIZER;

/* ---- fork ---------------------------------------------------------------- */

/*
 * A child has no mappings of the driver's. Where it has inherited views, zeroes take their
 * place.
 */
static void fill_hole(const struct endpoint *e)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start, end;

	if (!e->views || e->external)
		return;
	start = (uintptr_t)e->payload & ~(page - 1);
	end = ((uintptr_t)e->payload + e->payload_bytes + page - 1) & ~(page - 1);
	mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
}

static void forked(void)
{
	struct endpoint *e;

	fork_generation++;
	pthread_mutex_init(&inside_lock, NULL);
	pthread_cond_init(&inside_left, NULL);
	for (e = endpoints; e; e = e->next)
		fill_hole(e);
}

int calls_init(void)
{
	static bool done;

	if (!done && pthread_atfork(NULL, NULL, forked)) {
		PyErr_NoMemory();
		return -1;
	}
	done = true;
	return 0;
}

void endpoint_link(struct endpoint *e)
{
	e->generation = fork_generation;
	e->next = endpoints;
	if (endpoints)
		endpoints->prev = e;
	endpoints = e;
}

void endpoint_unlink(struct endpoint *e)
{
	if (e->prev)
		e->prev->next = e->next;
	else
		endpoints = e->next;
	if (e->next)
		e->next->prev = e->prev;
}

bool endpoint_forked(const struct endpoint *e)
{
	return e->generation != fork_generation;
}

/* ---- users --------------------------------------------------------------- */

void endpoint_use(struct endpoint *e)
{
	e->users++;
}

void endpoint_unuse(struct endpoint *e)
{
	struct l3l2q_ep *ep = e->ep;
	struct external *x;

	if (--e->users)
		return;
	e->ep = NULL;
	l3l2q_close(ep);
	x = e->external;
	e->external = NULL;
	external_free(x);
}

static void enter(struct endpoint *e)
{
	__atomic_fetch_add(&e->inside, 1, __ATOMIC_ACQ_REL);
}

static void leave(struct endpoint *e)
{
	if (__atomic_sub_fetch(&e->inside, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_lock(&inside_lock);
	pthread_cond_broadcast(&inside_left);
	pthread_mutex_unlock(&inside_lock);
}

void calls_wait(struct endpoint *e)
{
	/* In a child the threads that were inside do not exist. */
	if (endpoint_forked(e) || !__atomic_load_n(&e->inside, __ATOMIC_ACQUIRE))
		return;
	Py_BEGIN_ALLOW_THREADS
	pthread_mutex_lock(&inside_lock);
	while (__atomic_load_n(&e->inside, __ATOMIC_ACQUIRE))
		pthread_cond_wait(&inside_left, &inside_lock);
	pthread_mutex_unlock(&inside_lock);
	Py_END_ALLOW_THREADS
}

/* ---- calls --------------------------------------------------------------- */

bool is_copying(const struct endpoint *e)
{
	const struct copying *c;

	for (c = copying; c; c = c->outer)
		if (c->x == e->external)
			return true;
	return false;
}

int call_begin(struct endpoint *e, struct half *half, const char *op)
{
	if (e->closed)
		raise_class(e->state, CLOSED, NULL, op, ESHUTDOWN, "the endpoint is closed");
	else if (endpoint_forked(e))
		raise_class(e->state, WRONG_PROCESS, NULL, op, EPERM,
			    "the endpoint belongs to the parent process");
	else if (is_copying(e))
		raise_class(e->state, BUSY_ERROR, e, op, EBUSY,
			    "a copy function must not use its endpoint");
	else if (half->busy)
		raise_class(e->state, BUSY_ERROR, e, op, EBUSY,
			    "another thread is in this half of the endpoint");
	else {
		half->busy = half != &e->any;
		endpoint_use(e);
		if (half == &e->tx)
			finish_dropped(e);
		return 0;
	}
	return -1;
}

int any_begin(struct endpoint *e, const char *op)
{
	return call_begin(e, &e->any, op);
}

/* What was dropped during the call does not wait for the next one. */
static void leave_half(struct endpoint *e, struct half *half)
{
	if (half == &e->tx)
		finish_dropped(e);
	half->busy = false;
}

void call_end(struct endpoint *e, struct half *half)
{
	leave_half(e, half);
	endpoint_unuse(e);
}

int call_finish(struct endpoint *e, struct half *half, const char *op, int ret)
{
	if (ret == RAISED)
		return -1;
	leave_half(e, half);
	if (ret < 0)
		raise_error(e->state, e, op, ret, NULL);
	endpoint_unuse(e);
	return ret < 0 ? -1 : 0;
}

bool call_is_long(const struct endpoint *e, size_t nbytes)
{
	/* a copy function may take its time */
	return e->copied || nbytes > LARGE_BYTES;
}

static int call_unlocked(struct endpoint *e, library_call call, void *arg, int64_t timeout_ns)
{
	int ret;

	enter(e);
	Py_BEGIN_ALLOW_THREADS
	ret = call(e, arg, timeout_ns);
	/* Before the GIL is taken: where the interpreter ends, it is not given any more. */
	leave(e);
	Py_END_ALLOW_THREADS
	return ret;
}

int call_once(struct endpoint *e, library_call call, void *arg, bool is_long)
{
	return is_long ? call_unlocked(e, call, arg, 0) : call(e, arg, 0);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/*
 * 1 if signal handlers run in this thread, or -1 with an exception: this is Python code, in
 * which a handler may run and raise. While the interpreter ends, there may be no main thread.
 */
static int is_main_thread(struct state *state)
{
	PyObject *thread = PyObject_CallNoArgs(state->main_thread), *ident = NULL;
	int is_main = -1;

	if (thread == Py_None)
		is_main = 1;
	else if (thread)
		ident = PyObject_GetAttrString(thread, "ident");
	if (ident)
		is_main = PyLong_AsUnsignedLong(ident) == PyThread_get_thread_ident();
	Py_XDECREF(ident);
	Py_XDECREF(thread);
	return PyErr_Occurred() ? -1 : is_main;
}

/*
 * Leave the call, run the handlers of signals, enter it again. @period becomes how long the
 * thread may sleep from now on.
 */
static int run_handlers(struct endpoint *e, struct half *half, const char *op,
			call_beginner begin, int64_t *period)
{
	int is_main = 1;

	call_end(e, half);
	if (PyErr_CheckSignals())
		return RAISED;
	if (*period == SIGNAL_PERIOD_NS)
		is_main = is_main_thread(e->state);
	if (is_main < 0)
		return RAISED;
	if (!is_main)
		*period = FOREVER;
	return begin(e, op) ? RAISED : 0;
}

int call_block(struct endpoint *e, struct half *half, const char *op, call_beginner begin,
	       library_call call, void *arg, bool is_long, int64_t timeout_ns)
{
	int64_t start, left = timeout_ns, period = SIGNAL_PERIOD_NS;
	int ret = -EAGAIN;

	/* An interruption that came before ends a call that would not have to wait, too. */
	if (!timeout_ns || !(e->interrupted & half->bit))
		ret = call_once(e, call, arg, is_long);
	if (ret != -EAGAIN)
		return ret;
	if (!timeout_ns)
		return -ETIMEDOUT;
	start = now_ns();
	for (;;) {
		ret = call_unlocked(e, call, arg, left < period ? left : period);
		if (ret == -EINTR && e->interrupted & half->bit) {
			e->interrupted &= ~half->bit;
			return ret;
		}
		if (ret != -EINTR && ret != -ETIMEDOUT)
			return ret;
		if (timeout_ns != FOREVER) {
			left = start + timeout_ns - now_ns();
			if (left <= 0 && ret == -ETIMEDOUT)
				return ret;
			left = left > 0 ? left : 1;
		}
		if (run_handlers(e, half, op, begin, &period))
			return RAISED;
	}
}

/* ---- looks --------------------------------------------------------------- */

int64_t look_ns(const struct l3l2q_attr *attr)
{
	if (attr->spin_ns == L3L2Q_SPIN_OFF)
		return 0;
	return attr->spin_ns && attr->spin_ns < LOOK_NS ? (int64_t)attr->spin_ns : LOOK_NS;
}

static void learn_success(struct half *half, unsigned int turns)
{
	unsigned int want = turns * 2;

	if (want < half->budget)
		want = half->budget - (half->budget - want) / 4;
	half->budget = want > LOOK_TURNS ? want : LOOK_TURNS;
}

static void learn_failure(struct half *half)
{
	half->misses++;
	half->budget = half->budget * 3 / 4;
	if (half->budget < LOOK_TURNS)
		half->budget = 0;
}

/* The budget is learned as that of the library's spins is. */
static int look(struct endpoint *e, struct half *half, uint32_t events)
{
	unsigned int budget = half->misses % LOOK_PERIOD ? half->budget : LOOK_CEILING, turn;
	int64_t until = 0;
	int ret;

	for (turn = 1; e->look_ns && turn <= budget; turn++) {
		ret = l3l2q_wait(e->ep, events, 0);
		if (ret != -ETIMEDOUT) {
			learn_success(half, turn);
			return ret;
		}
		if (turn % LOOK_TURNS)
			continue;
		if (!until)
			until = now_ns() + e->look_ns;
		else if (now_ns() >= until)
			break;
	}
	learn_failure(half);
	return 0;
}

/* With the GIL, which it may take longer to get back than to look. */
PyObject *call_look(struct endpoint *e, struct half *half, const char *op, uint32_t events)
{
	int ret;

	if (call_begin(e, half, op))
		return NULL;
	ret = look(e, half, events);
	if (call_finish(e, half, op, ret))
		return NULL;
	return PyBool_FromLong(ret);
}
