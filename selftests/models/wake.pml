/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wake protocol of uapi/linux/l3l2q.h (struct l3l2q_control) and of
 * design.md, "Sleeping and waking", for spin. run.sh says what to define.
 *
 * Every thread has a store buffer. A plain store, and an atomic OR without a
 * result (aarch64: STSET), goes there and reaches memory some time later, in any
 * order between words; a full barrier waits until it has. Loads see their own
 * thread's buffer first. So a missing barrier is a reordering that spin finds.
 * Loads are not moved before loads: the litmus tests do that.
 *
 * A lost wake-up is a state in which nobody can move and somebody has not come
 * to his end: spin's "invalid end state". A time-out happens once a thread at
 * most, as it would hide the rest.
 *
 * Scenarios:
 *  STREAM   a producer and a consumer, ring of DEPTH, N messages; the producer
 *           sleeps in WAIT, the consumer in C_WAIT, C_POLL, C_EPOLL (edge
 *           triggered) or C_EVENTFD
 *  SEVERAL  three of a role: WAIT for IN, poll for IN, poll for OUT; the peer
 *           brings IN, then OUT
 *  RACE     WAIT for IN, an eventfd for ABORT; two threads of the peer at once
 *  SELF     a thread frees its window while another of its role sleeps in
 *           C_WAIT or C_EVENTFD, and the peer stores
 *  SILENT   the peer only stores: the scanner looks, while there are sleepers
 *  END      an endpoint is poisoned by one thread while another one uses it; the
 *           peer sleeps for ABORT
 *  FUTEX    two threads of a role sleep on a futex: the memfd transport
 */

#define IN	1
#define OUT	2
#define ABORT	4
#define MASK_TAIL (IN)		/* L3L2Q_ARM_TAIL, of the bits used here */
#define MASK_HEAD (OUT)
#define MASK_FLAG (IN | OUT | ABORT)

/* Words of shared memory. */
#define TAIL	0
#define HEAD	1
#define FLAG	2		/* the peer's abort flag */
#define ARM_C	3		/* control page: armed, consumer's role */
#define ARM_P	4		/* the same, producer's role */
#define SEEN	5		/* control page: seen_tail, or HOLD in SELF */
#define WORDS	6

#ifndef DEPTH
#define DEPTH	1
#endif
#ifndef N
#define N	3
#endif

/* Threads, and the first of those that the kernel can watch for. */
#if defined(SEVERAL) || defined(RACE) || defined(SILENT)
#define CPUS	4
#define SLEEPERS 2
#elif defined(SELF) || defined(END) || defined(FUTEX)
#define CPUS	3
#define SLEEPERS 2
#else
#define CPUS	2
#define SLEEPERS 0
#endif

byte mem[WORDS];
byte pend[CPUS * WORDS];	/* 0 nothing, 1 a store, 2 an OR */
byte val[CPUS * WORDS];
byte npend[CPUS];
bit queued[CPUS];		/* on its role's wait queue */
bit awake[CPUS];		/* has been woken since it looked */
bit late[CPUS];			/* has used its time-out */
bit role_p[CPUS];		/* which queue: 0 consumer's, 1 producer's */
byte watch[CPUS];		/* what it has the kernel watch for: a sleeper in
				   WAIT, or an eventfd */
bit fired[CPUS];		/* WAIT may return; the eventfd's count */

#ifdef SILENT
bit ep_lock;			/* l3l2q_endpoint.lock, as l3l2q_wake() takes it */
bit scanner_lock;
bit scanned;			/* in the scanner's queue: read without the lock */
bit looking;			/* the tick has taken it out and looks */
bit again_;			/* it was added meanwhile */
#endif

#define AT(p, w) ((p) * WORDS + (w))

inline store(p, w, v)
{
	d_step { !pend[AT(p, w)] -> pend[AT(p, w)] = 1; val[AT(p, w)] = v; npend[p]++ }
}

inline load(p, w, x)
{
	d_step {
		if
		:: pend[AT(p, w)] == 1 -> x = val[AT(p, w)]
		:: pend[AT(p, w)] == 2 -> x = mem[w] | val[AT(p, w)]
		:: else -> x = mem[w]
		fi
	}
}

inline or_bits(p, w, v)
{
	load(p, w, plain);
	if
	:: (plain & (v)) == (v)		/* both do without then */
#ifdef PLAIN_OR
	:: else -> store(p, w, plain | v)
#else
	:: else -> atomic { !pend[AT(p, w)] -> pend[AT(p, w)] = 2; val[AT(p, w)] = v; npend[p]++ }
#endif
	fi;
	plain = 0
}

inline mb(p)
{
	npend[p] == 0
}

#define FLUSH(i)						\
	:: d_step { pend[i] ->					\
		if						\
		:: pend[i] == 1 -> mem[(i) % WORDS] = val[i]	\
		:: else -> mem[(i) % WORDS] = mem[(i) % WORDS] | val[i]	\
		fi;						\
		pend[i] = 0; val[i] = 0; npend[(i) / WORDS]-- }
#define FLUSH_CPU(p) FLUSH(AT(p, 0)) FLUSH(AT(p, 1)) FLUSH(AT(p, 2)) \
		     FLUSH(AT(p, 3)) FLUSH(AT(p, 4)) FLUSH(AT(p, 5))

active proctype memory()
{
end:	do
	FLUSH_CPU(0)
	FLUSH_CPU(1)
#if CPUS > 2
	FLUSH_CPU(2)
#endif
#if CPUS > 3
	FLUSH_CPU(3)
#endif
	od
}

/* ---- readiness ----------------------------------------------------------- */

/* As the kernel and the library compute it, from what thread p sees. */
inline look(p, bits, ok)
{
	ok = 0;
	if
	:: (bits) == IN ->
#if defined(STREAM) || defined(SELF)
		/* the control page's words first */
		load(p, SEEN, a);
#endif
		load(p, TAIL, b);
#ifdef SELF
		ok = (a && b)		/* a is 0 for CONSUMER_HOLD */
#else
		ok = (a != b)
#endif
	:: (bits) == OUT ->
#ifndef STREAM
		load(p, HEAD, a);
		ok = (a != 0)
#else
		load(p, HEAD, a);
		load(p, TAIL, b);
		ok = (b - a < DEPTH)
#endif
	:: (bits) == ABORT ->
		load(p, FLAG, a);
		ok = (a != 0)
	fi;
	a = 0; b = 0
}

/* ---- waking: KICK in the kernel, on the caller's cpu ----------------------- */

inline wake_role(producers)
{
	d_step {
		i = 0;
		do
		:: i < CPUS ->
			if
			:: queued[i] && role_p[i] == producers ->
#ifdef WAKE_ONE
				if
				:: !awake[i] -> awake[i] = 1; i = CPUS
				:: else -> i++
				fi
#else
				awake[i] = 1; i++
#endif
			:: else -> i++
			fi
		:: else -> break
		od;
		i = 0
	}
}

/* Those watches of a role that the bits armed: fire, or leave theirs in left. */
inline fire(p, producers, bits)
{
	i = SLEEPERS;
	do
	:: i == CPUS -> break
	:: else ->
		if
		:: atomic { role_p[i] == producers && (watch[i] & (bits)) -> t = watch[i] };
			look(p, t, ok);
			if
			:: ok -> fired[i] = 1
			:: else -> left = left | t
			fi
		:: else
		fi;
		i++
	od;
	atomic { i = 0; t = 0; ok = 0 }
}

inline kick(p, arm, producers)
{
#ifdef WAKE_FIRST
	wake_role(producers);
#endif
#if defined(SILENT) && !defined(NO_LOCK)
	atomic { !ep_lock -> ep_lock = 1 };
#endif
#if defined(PLAIN_XCHG)
	mb(p);
	load(p, arm, old);
	store(p, arm, 0);
	mb(p);
#elif defined(XCHG_RELAXED)
	d_step { !pend[AT(p, arm)] -> old = mem[arm]; mem[arm] = 0 };
#else
	mb(p);
	d_step { old = mem[arm]; mem[arm] = 0 };
#endif
#ifndef WAKE_FIRST
	wake_role(producers);
#endif
	fire(p, producers, old);
#ifndef NO_REARM
	if
	:: left ->
		d_step { old = left; left = 0 };
		or_bits(p, arm, old);
#ifndef NO_MB_REARM
		mb(p);
#endif
#ifndef NO_SECOND_LOOK
		fire(p, producers, old)
#endif
	:: else
	fi;
#endif
#if defined(SILENT) && !defined(NO_LOCK)
	mb(p);
	ep_lock = 0;
#endif
	left = 0;
	ok = 0;
	old = 0
}

/* After a store to a counter: does the peer sleep for it? */
inline stored(p, arm, mask, producers)
{
#ifndef NO_MB_STORE
	mb(p);
#endif
	load(p, arm, a);
	if
	:: a & (mask) -> a = 0; kick(p, arm, producers)
	:: else -> a = 0
	fi
}

/* ---- sleeping ------------------------------------------------------------ */

#ifdef SILENT
/* Whom the peer would have to wake. */
inline sleepers(some)
{
	atomic { !ep_lock -> ep_lock = 1 };
	load(1, ARM_C, a);
	some = ((watch[2] & a) != 0);
	a = 0;
	ep_lock = 0
}

/*
 * Those who are in the queue already take no lock: arming is a full barrier before.
 * The words of the scanner change in memory at once, as the tick has one after it has
 * taken a role out.
 */
inline scan_add(p)
{
	if
	:: scanned
	:: else ->
		atomic { !scanner_lock -> scanner_lock = 1 };
		if
		:: looking ->
#ifndef NO_AGAIN
			again_ = 1
#else
			skip
#endif
		:: else -> scanned = 1
		fi;
		mb(p);
		scanner_lock = 0
	fi
}
#endif

inline arm_and_look(p, arm, bits, ok)
{
#ifdef LOOK_FIRST
	look(p, bits, ok);
	or_bits(p, arm, bits);
	mb(p)
#else
	or_bits(p, arm, bits);
#ifndef NO_MB_ARM
	mb(p);
#endif
	look(p, bits, ok)
#endif
}

/*
 * WAIT: put a watch on the list, arm, look, sleep, known to the scanner if the
 * peer is silent. Whoever kicks looks on the sleeper's behalf and arms again for
 * those whom it leaves asleep. The driver queues, arms and looks under a lock that
 * a kick takes too, which is not needed here.
 */
inline wait_in_kernel(p, arm, bits)
{
#ifndef QUEUE_LATE
	atomic { watch[p] = bits; fired[p] = 0 };
#endif
	arm_and_look(p, arm, bits, ok);
#ifdef QUEUE_LATE
	atomic { watch[p] = bits; fired[p] = 0 };
#endif
	if
	:: ok
	:: else ->
#ifdef SILENT
		scan_add(p);
#endif
		if
		:: fired[p]
		:: !late[p] -> late[p] = 1	/* armed stays */
		fi
	fi;
	atomic { watch[p] = 0; fired[p] = 0; ok = 0 }
}

/* poll(2): queued once, ->poll on each turn. */
inline wait_in_poll(p, arm, bits)
{
	d_step { queued[p] = 1; awake[p] = 0 };
	do
	::
#ifdef ARM_ONCE
		if
		:: !again -> arm_and_look(p, arm, bits, ok)
		:: else -> look(p, bits, ok)
		fi;
		again = 1;
#else
		arm_and_look(p, arm, bits, ok);
#endif
		if
		:: ok -> break
		:: else ->
			if
			:: awake[p] -> awake[p] = 0
			:: !late[p] -> late[p] = 1; break
			fi
		fi
	od;
	atomic { queued[p] = 0; awake[p] = 0; ok = 0; again = 0 }
}

/* An eventfd: the application arms by a store to its control page. */
inline wait_for_eventfd(p, arm, bits)
{
	or_bits(p, arm, bits);
#ifndef NO_MB_ARM_USER
	mb(p);
#endif
	look(p, bits, ok);
	if
	:: ok
	:: else -> atomic { fired[p] -> fired[p] = 0 }
	fi;
	ok = 0
}

inline register_eventfd(p, arm, bits)
{
	watch[p] = bits;
	or_bits(p, arm, bits);
	mb(p);
	look(p, bits, ok);
	if
	:: ok -> fired[p] = 1
	:: else
	fi;
	ok = 0
}

#define LOCALS byte a, b, old, left, plain, i, t; bit ok, again

/* ---- scenarios ----------------------------------------------------------- */

#ifdef STREAM
active proctype producer()
{
	LOCALS;
	byte tail, head;

	d_step { role_p[0] = 1 };
	do
	:: tail == N -> break
	:: else ->
		load(0, HEAD, head);
		if
		:: tail - head < DEPTH ->
			tail++;
			store(0, TAIL, tail);
			stored(0, ARM_C, MASK_TAIL, 0)
		:: else ->
			wait_in_kernel(0, ARM_P, OUT)
		fi
	od
}

active proctype consumer()
{
	LOCALS;
	byte tail, head;

#ifdef C_EVENTFD
	register_eventfd(1, ARM_C, IN);
#endif
#ifdef C_EPOLL
	/* EPOLL_CTL_ADD; awake says that it is on the ready list */
	queued[1] = 1;
	arm_and_look(1, ARM_C, IN, ok);
	if
	:: ok -> awake[1] = 1
	:: else
	fi;
#endif
	do
	:: head == N -> break
	:: else ->
		load(1, TAIL, tail);
		if
		:: tail != head ->
			/* acquire, then release */
			head++;
			store(1, SEEN, head);
			store(1, HEAD, head);
			stored(1, ARM_P, MASK_HEAD, 1)
		:: else ->
#if defined(C_POLL)
			wait_in_poll(1, ARM_C, IN)
#elif defined(C_EVENTFD)
			wait_for_eventfd(1, ARM_C, IN)
#elif defined(C_EPOLL)
			do
			:: atomic { awake[1] -> awake[1] = 0 };
#ifdef ARM_IF_NOTHING
				look(1, IN, ok);
				if
				:: !ok -> arm_and_look(1, ARM_C, IN, ok)
				:: else
				fi;
#else
				arm_and_look(1, ARM_C, IN, ok);
#endif
				if
				:: ok -> break
				:: else
				fi
			od;
			ok = 0
#else
			wait_in_kernel(1, ARM_C, IN)
#endif
		fi
	od;
	queued[1] = 0;
}
#endif

#if defined(SEVERAL) || defined(RACE)
active proctype peer_data()
{
	LOCALS;

	store(0, TAIL, 1);
	stored(0, ARM_C, MASK_TAIL, 0);
#ifdef SEVERAL
	store(0, HEAD, 1);
	stored(0, ARM_C, MASK_HEAD, 0)
#endif
}

active proctype waiter()
{
	LOCALS;

#ifdef RACE
	late[2] = 1;		/* no time-out: enough happens */
#endif
	do
	::	look(2, IN, ok);
		if
		:: ok -> break
		:: else -> wait_in_kernel(2, ARM_C, IN)
		fi
	od
}
#endif

#ifdef SEVERAL
inline poller(p, bits)
{
	do
	::	look(p, bits, ok);
		if
		:: ok -> break
		:: else -> wait_in_poll(p, ARM_C, bits)
		fi
	od
}

active proctype in_poller()
{
	LOCALS;

	late[1] = 1;
	poller(1, IN)
}

active proctype out_poller()
{
	LOCALS;

	late[3] = 1;
	poller(3, OUT)
}
#endif

#ifdef RACE
active proctype peer_abort()
{
	LOCALS;

	store(1, FLAG, 1);
	stored(1, ARM_C, MASK_FLAG, 0)
}

/* Sleeps on its eventfd alone, as a runtime with a loop of its own does. */
active proctype watcher()
{
	LOCALS;

	register_eventfd(3, ARM_C, ABORT);
	do
	::	atomic { fired[3] -> fired[3] = 0 };
		or_bits(3, ARM_C, ABORT);
		mb(3);
		look(3, ABORT, ok);
		if
		:: ok -> break
		:: else
		fi
	od
}
#endif

#ifdef SELF
/* Thread 0 holds the only handle its window allows, and releases it. */
active proctype holder()
{
	LOCALS;

	store(0, SEEN, 1);
#ifndef NO_KICK_SELF
#ifndef NO_MB_SELF
	mb(0);
#endif
	load(0, ARM_C, a);
	if
	:: a & IN -> a = 0; kick(0, ARM_C, 0)
	:: else -> a = 0
	fi;
#endif
}

active proctype peer()
{
	LOCALS;

	store(1, TAIL, 1);
	stored(1, ARM_C, MASK_TAIL, 0);
}

active proctype sleeper()
{
	LOCALS;

#ifdef C_EVENTFD
	register_eventfd(2, ARM_C, IN);
#endif
	do
	::	look(2, IN, ok);
		if
		:: ok -> break
		:: else ->
#ifdef C_EVENTFD
			wait_for_eventfd(2, ARM_C, IN)
#else
			wait_in_kernel(2, ARM_C, IN)
#endif
		fi
	od
}
#endif

#ifdef SILENT
active proctype peer()
{
	store(0, TAIL, 1)
}

active proctype scanner()
{
	LOCALS;
	bit sleeps;

end:	do
	:: scanned ->
		atomic { !scanner_lock -> scanner_lock = 1 };
		atomic { scanned = 0; looking = 1; again_ = 0 };
		mb(1);
		scanner_lock = 0;
		sleepers(sleeps);
		if
		:: sleeps == 1 -> look(1, IN, ok);
			if
			:: ok -> kick(1, ARM_C, 0); sleepers(sleeps)
			:: else
			fi
		:: else
		fi;
		atomic { !scanner_lock -> scanner_lock = 1 };
		looking = 0;
		if
		:: sleeps || again_ -> scanned = 1
		:: else
		fi;
		mb(1);
		atomic { scanner_lock = 0; sleeps = 0 }
	od
}

/* Wakes its own role for reasons of its own: armed is 0 for a moment. */
active proctype disturber()
{
	LOCALS;

	kick(3, ARM_C, 0)
}

active proctype sleeper()
{
	LOCALS;

	do
	::	look(2, IN, ok);
		if
		:: ok -> break
		:: else -> wait_in_kernel(2, ARM_C, IN)
		fi
	od
}
#endif

#ifdef END
#define KIND	TAIL		/* error.kind, private to the process */
bit told;			/* somebody has kicked the peer for it */

inline tell(p)
{
	d_step { first = !told; told = 1 };
	if
	:: first ->
		mb(p);
		load(p, ARM_C, a);
		if
		:: a -> a = 0; kick(p, ARM_C, 0)
		:: else
		fi
	:: else
	fi
}

active proctype poisoner()
{
	LOCALS;
	bit first;

#ifdef KIND_FIRST
	store(0, KIND, 1);
	store(0, FLAG, 1);
#else
	store(0, FLAG, 1);
	mb(0);			/* KIND is stored with release */
	store(0, KIND, 1);
#endif
	tell(0)
}

active proctype user()
{
	LOCALS;
	bit first;

	load(1, KIND, a);
	if
	:: a -> a = 0; tell(1)
	:: else
	fi
}

active proctype waiter()
{
	LOCALS;

	do
	::	look(2, ABORT, ok);
		if
		:: ok -> break
		:: else -> wait_in_kernel(2, ARM_C, ABORT)
		fi
	od
}
#endif

#ifdef FUTEX
#define GEN	SEEN		/* a word that each wake-up increments */
bit asleep[CPUS];

active proctype peer()
{
	byte a;

	store(0, TAIL, 1);
	mb(0);
	load(0, ARM_C, a);
	if
	:: a ->
		d_step { mem[ARM_C] = 0 };
		d_step { mem[GEN] = mem[GEN] + 1 };
		d_step { asleep[1] = 0; asleep[2] = 0 }
	:: else
	fi
}

inline futex_waiter(p)
{
	byte a, b, expect;
	bit ok;

	do
	::
#ifdef FUTEX_ON_ARMED
		d_step { mem[ARM_C] = mem[ARM_C] | IN; expect = mem[ARM_C] };
#else
		load(p, GEN, expect);
		d_step { mem[ARM_C] = mem[ARM_C] | IN };
#endif
		look(p, IN, ok);
		if
		:: ok -> break
		:: else
		fi;
		/* FUTEX_WAIT compares and queues in one */
		if
#ifdef FUTEX_ON_ARMED
		:: atomic { mem[ARM_C] == expect -> asleep[p] = 1 };
		   !asleep[p]
#else
		:: atomic { mem[GEN] == expect -> asleep[p] = 1 };
		   !asleep[p]
#endif
		:: else
		fi
	od
}

active proctype first_waiter()
{
	futex_waiter(1)
}

active proctype second_waiter()
{
	futex_waiter(2)
}
#endif
