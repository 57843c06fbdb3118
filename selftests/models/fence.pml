/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "No fence while busy" of design.md, for spin: as wake.pml, with a storing side that
 * executes no barrier. run.sh says what to define.
 *
 * The rule, for each half of the storing side (tail, head); `armed` is the sleeping
 * side's word:
 *
 *  store	fenced: counter (release), full barrier, armed. If ASKS is set there:
 *		unfenced = 1, full barrier, and unfenced from the next store on.
 *		Unfenced: counter (release), armed; only if an event bit or REQ is set:
 *		full barrier, armed again. Kick if event bits are set
 *  sleep	count++; or event bits | REQ into armed; full barrier; if DONE was not set
 *		in what the or has returned: if `unfenced`, membarrier; or DONE in.
 *		count--; last look; sleep. Before WAIT, which arms, looks and reports
 *		itself, all of this may be left out where DONE is set
 *  let off	armed; if DONE and no event bit is set there and the count is 0 then:
 *		compare-and-exchange to take REQ and DONE away
 *  wake	the kernel, or the storing side for a futex, takes event bits only
 *  kernel	where it arms (poll, WAIT, ARM, again in a wake): or event bits in, full
 *		barrier; if `unfenced` and DONE is not set, report readiness; look
 *
 * Memory: each thread has a buffer of two stores. They leave it in order, and an
 * atomic operation waits for them (x86). With WEAK a store that is no release overtakes
 * one to another word, and an atomic operation that is no release waits for none.
 * Loads are in order: the litmus tests do that. membarrier() waits until each buffer of
 * the storing side has been empty once.
 *
 * A lost wake-up is an invalid end state.
 *
 * Threads: 0 the tail's half, 1 the head's half or one that aborts; 2 and 3 sleepers, 4
 * another one of their role.
 *
 *  C=HOW		thread 2 consumes N messages and sleeps in HOW
 *  A=HOW AW=BITS	thread 2 waits for BITS: IN (the first tail), CNT (the last tail),
 *			OUT (the head)
 *  B=HOW BW=BITS	thread 3 does
 *  HEAD_HALF=N		a head's half stores N times
 *  ABORTER		thread 1 aborts
 *  OWN=TIMES		thread 4 kicks
 *  BUSY=TIMES		thread 4 is the one that lets off, and does not sleep
 *  LATE		each sleep may time out, once a thread
 *  RAW			sleepers arm by the kernel alone
 *  OLD			a sleeping side that does not know the rule
 *  REFUSED		membarrier fails at times: not a sleep, then, but another turn
 */

#define IN	1
#define OUT	2
#define CNT	4		/* L3L2Q_ARM_COUNTER: depends on both halves */
#define ABORT	8
#define EVENTS	15
#define REQ_T	16
#define DONE_T	32
#define REQ_H	64
#define DONE_H	128
#define ASKS	256

#define ON_TAIL	(IN | CNT)
#define ON_HEAD	(OUT | CNT)
#define REQ(b)	(((b) & ON_TAIL -> REQ_T : 0) | ((b) & ON_HEAD -> REQ_H : 0))
#define DONE(b)	(((b) & ON_TAIL -> DONE_T : 0) | ((b) & ON_HEAD -> DONE_H : 0))
#define IS_DONE(a, b) (((a) & DONE(b)) == DONE(b))

/* Words that are stored to; a counter and the flag with release. */
#define TAIL	0
#define HEAD	1
#define FLAG	2
#define UNF_T	3		/* unfenced, of the tail's half */
#define UNF_H	4
#define SEEN	5
#define WORDS	6
#define RELEASE(w) ((w) <= FLAG)

/* How a thread sleeps. */
#define FUTEX	0
#define WAIT	1
#define POLL	2
#define LEVEL	3		/* epoll */
#define EDGE	4
#define EVENTFD	5		/* armed by a store */
#define ARM	6		/* an eventfd armed by ARM */

#ifndef N
#define N	2
#endif
#if defined(OWN) || defined(BUSY)
#define CPUS	5
#else
#define CPUS	4
#endif

byte mem[WORDS];
short armed;
byte gen;			/* of the futex: counts wake-ups */
byte word[CPUS * 2];		/* what is stored to, oldest first, plus 1 */
byte val[CPUS * 2];

bit locked;			/* l3l2q_endpoint.lock */
byte watch[CPUS];		/* bits of a WAIT or an eventfd */
bit fired[CPUS];
bit queued[CPUS];		/* in poll, or in an epoll's interest list */
bit awake[CPUS];
bit late[CPUS];
byte count;			/* threads between REQ and DONE; private */

#define LOCALS short a, c; byte b, i, t, old, left, g, x; bit ok, u, spur, todo0, todo1

/* ---- memory -------------------------------------------------------------- */

#define FIRST(p) word[(p) * 2]
#define SECOND(p) word[(p) * 2 + 1]
#define EMPTY(p) (!FIRST(p))

inline store(p, w, v)
{
	d_step {
		!SECOND(p) ->
		if
		:: FIRST(p) -> SECOND(p) = (w) + 1; val[(p) * 2 + 1] = v
		:: else -> FIRST(p) = (w) + 1; val[(p) * 2] = v
		fi
	}
}

inline load(p, w, r)
{
	d_step {
		if
		:: SECOND(p) == (w) + 1 -> r = val[(p) * 2 + 1]
		:: SECOND(p) != (w) + 1 && FIRST(p) == (w) + 1 -> r = val[(p) * 2]
		:: else -> r = mem[w]
		fi
	}
}

#define mb(p) EMPTY(p)

/* An atomic operation on armed that is no release, and a full barrier. */
inline fetch_or_mb(p, bits, r)
{
#ifdef WEAK
	d_step { r = armed; armed = armed | (bits) };
	mb(p)
#else
	d_step { EMPTY(p) -> r = armed; armed = armed | (bits) }
#endif
}

#define LEAVE(p)						\
	:: d_step { FIRST(p) -> mem[FIRST(p) - 1] = val[(p) * 2];	\
		FIRST(p) = SECOND(p); val[(p) * 2] = val[(p) * 2 + 1];	\
		SECOND(p) = 0; val[(p) * 2 + 1] = 0 }
#ifdef WEAK
#define OVERTAKE(p)						\
	:: d_step { SECOND(p) && SECOND(p) != FIRST(p) && !RELEASE(SECOND(p) - 1) ->	\
		mem[SECOND(p) - 1] = val[(p) * 2 + 1];			\
		SECOND(p) = 0; val[(p) * 2 + 1] = 0 }
#else
#define OVERTAKE(p)
#endif

active proctype memory()
{
end:	do
	LEAVE(0) LEAVE(1) LEAVE(2) LEAVE(3)
	OVERTAKE(0) OVERTAKE(1) OVERTAKE(2) OVERTAKE(3)
	od
}

inline membarrier(p)
{
	mb(p);
#ifndef NO_MEMBARRIER
#if defined(HEAD_HALF) || defined(ABORTER)
	atomic { todo0 = 1; todo1 = 1 };
	do
	:: atomic { todo0 && EMPTY(0) -> todo0 = 0 }
	:: atomic { todo1 && EMPTY(1) -> todo1 = 0 }
	:: !todo0 && !todo1 -> break
	od
#else
	EMPTY(0)
#endif
#endif
}

/* ---- looking ------------------------------------------------------------- */

/* What depends on one word is one step. */
inline look(p, bits, r)
{
#ifdef C
	if
	:: (bits) & IN -> load(p, SEEN, t)
	:: else
	fi;
#endif
	d_step {
		r = 0;
		if
		:: (bits) & ABORT -> load(p, FLAG, b); r = (b != 0)
		:: else
		fi;
		if
		:: (bits) & IN -> load(p, TAIL, b); r = r || (b != t)
		:: else
		fi;
		if
		:: (bits) & CNT -> load(p, TAIL, b); r = r || (b == N)
		:: else
		fi;
		if
		:: (bits) & OUT -> load(p, HEAD, b); r = r || (b != 0)
		:: else
		fi;
		b = 0; t = 0
	}
}

/* Is a half unfenced whose stores these bits depend on? */
inline unfenced(p, bits, r)
{
	d_step {
		r = 0;
		if
		:: (bits) & ON_TAIL -> load(p, UNF_T, r)
		:: else
		fi;
		if
		:: !r && ((bits) & ON_HEAD) -> load(p, UNF_H, r)
		:: else
		fi
	}
}

/* ---- waking -------------------------------------------------------------- */

#ifdef WAKE_ALL_BITS
#define TAKEN	(EVENTS | REQ_T | DONE_T | REQ_H | DONE_H)
#elif defined(WAKE_DONE)
#define TAKEN	(EVENTS | DONE_T | DONE_H)
#elif defined(WAKE_REQ)
#define TAKEN	(EVENTS | REQ_T | REQ_H)
#else
#define TAKEN	EVENTS
#endif

/*
 * Those watches that the bits arm: fire, or leave theirs in left. After arming again,
 * those fire that depend on an unfenced half.
 */
inline fire(p, bits, again)
{
	i = 2;
	do
	:: i == 4 -> break
	:: i < 4 && !(watch[i] & (bits)) -> i++
	:: atomic { i < 4 && (watch[i] & (bits)) -> x = watch[i] };
#ifndef NO_REPORT_AGAIN
		if
		:: again && !IS_DONE(armed, x) -> unfenced(p, x, u)
		:: else
		fi;
#endif
		look(p, x, ok);
		d_step {
			if
			:: ok || u -> fired[i] = 1
			:: else -> left = left | x
			fi;
			ok = 0; u = 0; x = 0; i++
		}
	od;
	i = 0
}

/*
 * KICK, or the kernel on behalf of an abort. What a lock is taken for, and the step that
 * follows, are one step here.
 */
inline kick(p, force)
{
	mb(p);
	if
	:: !force && !(armed & EVENTS)
	:: force || (armed & EVENTS) ->
		atomic {
			!locked -> locked = 1;
			old = armed & EVENTS;
			armed = armed & (511 - TAKEN);
			g = old | (force -> ABORT : 0)
		};
		fire(p, g, 0);
		if
		:: left ->
			d_step { armed = armed | left; g = left; left = 0 };
			fire(p, g, 1)
		:: else
		fi;
		d_step { locked = 0; left = 0; g = 0 };
		if
		:: old -> d_step { awake[2] = queued[2]; awake[3] = queued[3]; old = 0 }
		:: else
		fi
	fi
}

/* FUTEX_WAKE, by the storing side itself. */
inline kick_futex(p)
{
	d_step { mb(p) -> old = armed & EVENTS; armed = armed & (511 - TAKEN) };
	if
	:: old -> gen++; d_step { awake[2] = 1; awake[3] = 1; old = 0 }
	:: else
	fi
}

#ifdef MEMFD
#define KICK(p) kick_futex(p)
#else
#define KICK(p) kick(p, 0)
#endif

/* ---- the storing side ---------------------------------------------------- */

inline go_unfenced(p, unf)
{
	store(p, unf, 1);
#ifndef NO_MB_UNFENCED
	mb(p);
#endif
	is_unf = 1
}

inline publish(p, w, v, last, mask, req, unf)
{
#ifdef LOAD_FIRST
	a = armed;
#endif
	store(p, w, v);
	if
	:: is_unf ->
#ifndef LOAD_FIRST
		a = armed;
#endif
#ifndef NO_REQ
		if
		:: a & ((mask) | (req)) ->
#ifndef NO_MB_AGAIN
			mb(p);
#endif
#ifndef NO_SECOND_LOAD
			a = armed
#else
			skip
#endif
		:: else
		fi
#endif
	:: else ->
#ifndef NO_MB_STORE
		mb(p);
#endif
		a = armed;
		if
		:: (a & ASKS) && v < last -> go_unfenced(p, unf)
		:: true
		fi
	fi;
	if
	:: a & (mask) -> a = 0; KICK(p)
	:: else -> a = 0
	fi
}

active proctype tail_half()
{
	LOCALS;
	byte n;
	bit is_unf;

	if
	:: armed & ASKS -> go_unfenced(0, UNF_T)
	:: true
	fi;
	do
	:: n == N -> break
	:: else -> n++; publish(0, TAIL, n, N, ON_TAIL, REQ_T, UNF_T)
	od
}

#ifdef HEAD_HALF
active proctype head_half()
{
	LOCALS;
	byte n;
	bit is_unf;

	if
	:: armed & ASKS -> go_unfenced(1, UNF_H)
	:: true
	fi;
	do
	:: n == HEAD_HALF -> break
	:: else -> n++; publish(1, HEAD, n, HEAD_HALF, ON_HEAD, REQ_H, UNF_H)
	od
}
#endif

#ifdef ABORTER
active proctype aborter()
{
	LOCALS;

	store(1, FLAG, 1);
	kick(1, 1)
}
#endif

#ifdef OWN
active proctype own_kicks()
{
	LOCALS;
	byte n;

	do
	:: n == OWN -> break
	:: else -> n++; kick(4, 0)
	od
}
#endif

/* ---- the sleeping side: library ------------------------------------------ */

/* At attach, before any thread arms. */
active proctype attach()
{
#ifndef OLD
	armed = armed | ASKS
#else
	skip
#endif
}

#if defined(OLD) || defined(ASKS_LATE)
#define ATTACHED true
#else
#define ATTACHED (armed & ASKS)
#endif

/* u says afterwards that membarrier has failed. */
inline lib_arm(p, bits)
{
	if
#ifdef OLD
	:: true ->
#else
	:: !(armed & ASKS) ->
#endif
		fetch_or_mb(p, bits, a)
#ifndef OLD
	:: armed & ASKS ->
#ifndef COUNT_LATE
		count++;
#endif
#ifdef UNFENCED_EARLY
		unfenced(p, bits, u);
#endif
#if defined(DONE_EARLY)
		a = armed;
		fetch_or_mb(p, ((bits) | REQ(bits)), c);
		c = 0;
#elif defined(PLAIN_OR)
		a = armed;
		armed = a | (bits) | REQ(bits);
#elif defined(REQ_LATE) || defined(NO_REQ_SET)
		fetch_or_mb(p, bits, a);
#else
		fetch_or_mb(p, ((bits) | REQ(bits)), a);
#endif
#ifdef COUNT_LATE
		count++;
#endif
		if
		:: IS_DONE(a, bits)
		:: !IS_DONE(a, bits) ->
#ifndef UNFENCED_EARLY
			unfenced(p, bits, u);
#endif
#ifdef DONE_FIRST
			armed = armed | DONE(bits);
#endif
#ifdef COUNT_EARLY
			count--;
#endif
			if
			:: u -> membarrier(p); u = 0
#ifdef REFUSED
			:: u
#endif
			:: !u
			fi;
			d_step {
#ifdef REQ_LATE
				armed = armed | REQ(bits);
#endif
				if
#ifndef DONE_REFUSED
				:: u
#endif
				:: else -> armed = armed | DONE(bits)
				fi
			};
#ifdef COUNT_EARLY
			count++;
#endif
		fi;
		atomic { mb(p) -> count-- }
#endif
	fi;
	a = 0
#if !defined(REFUSED) || defined(NO_NAP)
	; u = 0
#endif
}

#if defined(OFF_BLIND)
#define MAY_OFF(a, bits) ((a) & DONE(bits))
#define UNCHANGED(a) true
#elif defined(OFF_REQ)
#define MAY_OFF(a, bits) ((a) & REQ(bits) && !((a) & ((bits) | CNT)))
#else
#define MAY_OFF(a, bits) ((a) & DONE(bits) && !((a) & ((bits) | CNT)))
#endif
#ifndef UNCHANGED
#define UNCHANGED(a) (armed == (a))
#endif
#ifdef OFF_REQ_ALONE
#define OFF(bits) (511 - REQ(bits))
#else
#define OFF(bits) (511 - REQ(bits) - DONE(bits))
#endif

/* The half's own thread lets the peer's half off; executable if the first look says so. */
inline let_off(p, bits, own)
{
#ifdef COUNT_FIRST
	atomic { own -> ok = (count == 0) };
	a = armed;
	ok = ok && MAY_OFF(a, bits);
#else
	atomic { own && MAY_OFF(armed, bits) -> a = armed };
#ifdef NO_COUNT
	ok = 1;
#else
	ok = (count == 0);
#endif
#endif
	d_step {
		if
		:: ok && UNCHANGED(a) -> armed = armed & OFF(bits)
		:: else
		fi;
		a = 0; ok = 0
	}
}

/* ---- the sleeping side: kernel ------------------------------------------- */

/* spur: has to report readiness; DONE is loaded after the barrier and before the look */
inline report(p, bits)
{
#ifndef NO_REPORT
	a = armed;
	if
	:: IS_DONE(a, bits)
	:: else -> unfenced(p, bits, spur)
	fi;
	a = 0
#else
	skip
#endif
}

inline k_arm(p, bits)
{
	fetch_or_mb(p, bits, a);
#ifndef REPORT_LATE
	report(p, bits);
#endif
	a = 0
}

inline k_wait(p, bits)
{
	atomic { !locked -> locked = 1; watch[p] = bits; fired[p] = 0 };
	k_arm(p, bits);
	look(p, bits, ok);
#ifdef REPORT_LATE
	report(p, bits);
#endif
	if
	:: ok || spur
	:: else ->
		locked = 0;
		if
		:: fired[p]
#ifdef LATE
		:: !late[p] -> late[p] = 1
#endif
		fi;
		atomic { !locked -> locked = 1 }
	fi;
	d_step { watch[p] = 0; fired[p] = 0; locked = 0; ok = 0; spur = 0 }
}

/* ->poll: ok is what it returns */
inline k_poll(p, bits)
{
	k_arm(p, bits);
	look(p, bits, ok);
	d_step { ok = ok || spur; spur = 0 }
}

inline sleep_poll(p, bits)
{
	d_step { queued[p] = 1; awake[p] = 0 };
	do
	::	k_poll(p, bits);
		if
		:: ok -> break
		:: else
		fi;
		if
		:: awake[p] -> awake[p] = 0
#ifdef LATE
		:: !late[p] -> late[p] = 1; break
#endif
		fi
	od;
	atomic { queued[p] = 0; awake[p] = 0; ok = 0 }
}

/* awake: on the epoll's ready list */
inline epoll_add(p, bits)
{
	queued[p] = 1;
	k_poll(p, bits);
	d_step {
		if
		:: ok -> awake[p] = 1
		:: else
		fi;
		ok = 0
	}
}

inline sleep_epoll(p, bits, level)
{
	do
#ifdef LATE
	:: !late[p] -> late[p] = 1; break
#endif
	:: atomic { awake[p] -> awake[p] = 0 };
		k_poll(p, bits);
		if
		:: ok ->
			awake[p] = awake[p] || level;
			break
		:: else
		fi
	od;
	ok = 0
}

/* ARM, and the end of EVENTFD */
inline k_arm_watches(p, bits)
{
	k_arm(p, bits);
	look(p, bits, ok);
	d_step {
		if
		:: ok || spur -> fired[p] = 1
		:: else
		fi;
		ok = 0; spur = 0
	}
}

inline sleep_eventfd(p)
{
	if
	:: fired[p] -> fired[p] = 0
#ifdef LATE
	:: !late[p] -> late[p] = 1
#endif
	fi
}

/* FUTEX_WAIT compares and queues in one. */
inline sleep_futex(p)
{
	if
	:: atomic { gen == g -> awake[p] = 0 };
		if
		:: awake[p] -> awake[p] = 0
#ifdef LATE
		:: !late[p] -> late[p] = 1
#endif
		fi
	:: gen != g
	fi
}

/* ---- sleepers ------------------------------------------------------------ */

inline prepare(p, how, bits)
{
	if
	:: how == EVENTFD || how == ARM ->
		atomic { !locked -> watch[p] = bits };
		k_arm_watches(p, bits)
	:: how == LEVEL || how == EDGE -> epoll_add(p, bits)
	:: else
	fi
}

/* Arm, look, sleep. */
inline turn(p, how, bits)
{
	g = gen;
#ifdef LOOK_FIRST
	look(p, bits, ok);
#endif
#ifndef RAW
	if
	:: how != ARM -> lib_arm(p, bits)
	:: how == WAIT && IS_DONE(armed, bits)
	:: else -> k_arm_watches(p, bits)
	fi;
#else
	if
	:: how == ARM -> k_arm_watches(p, bits)
	:: else
	fi;
#endif
#ifndef LOOK_FIRST
	look(p, bits, ok);
#endif
	if
	:: ok || u -> ok = 0
	:: else ->
		if
		:: how == FUTEX -> sleep_futex(p)
		:: how == WAIT -> k_wait(p, bits)
		:: how == POLL -> sleep_poll(p, bits)
		:: how == LEVEL || how == EDGE -> sleep_epoll(p, bits, (how == LEVEL))
		:: how == EVENTFD || how == ARM -> sleep_eventfd(p)
		fi
	fi;
	d_step { g = 0; u = 0 }
}

#ifdef C
#ifdef ABORTER
#define CW	(IN | ABORT)
#else
#define CW	IN
#endif

active proctype consumer()
{
	LOCALS;
	byte head;

	ATTACHED;
	prepare(2, C, CW);
	do
	:: head == N -> break
	:: let_off(2, IN, true)
	:: head < N ->
#ifdef ABORTER
		load(2, FLAG, b);
		if
		:: b -> break
		:: else
		fi;
#endif
		load(2, TAIL, b);
		if
		:: b != head -> b = 0; head++; store(2, SEEN, head)
		:: else -> b = 0; turn(2, C, CW)
		fi
	od;
	atomic { queued[2] = 0; watch[2] = 0; fired[2] = 0; awake[2] = 0; b = 0 }
}
#endif

/* Thread 2 is the half's own thread for IN and CNT, or thread 4; thread 3 is for OUT. */
#ifdef BUSY
#define OWN_A	false
#else
#define OWN_A	true
#endif
#define WAITER(name, p, how, bits, own)				\
active proctype name()						\
{								\
	LOCALS;							\
	bit ready;						\
								\
	ATTACHED;						\
	prepare(p, how, bits);					\
	do							\
	:: let_off(p, ((bits) == OUT -> OUT : IN), own)		\
	::	look(p, bits, ready);				\
		if						\
		:: ready -> break				\
		:: else -> turn(p, how, bits)			\
		fi						\
	od;							\
	atomic { queued[p] = 0; watch[p] = 0; fired[p] = 0; awake[p] = 0; ready = 0 }	\
}

#ifdef A
WAITER(waiter_a, 2, A, AW, OWN_A)
#endif
#ifdef B
WAITER(waiter_b, 3, B, BW, ((BW) == OUT))
#endif

#ifdef BUSY
active proctype busy()
{
	LOCALS;
	byte n;

	do
	:: let_off(4, IN, n < BUSY); n++
	:: true -> break
	od
}
#endif
