/* SPDX-License-Identifier: MIT */
/*
 * USDT probes of provider l3l2q, described in l3l2q(7). The library has them if it was built
 * with <sys/sdt.h>. The inline calls of a program have them if it defines L3L2Q_PROBES before
 * it includes l3l2q.h; that needs <sys/sdt.h>. A probe that nobody has enabled is a nop.
 */
#ifndef L3L2Q_PROBES_H
#define L3L2Q_PROBES_H

#ifdef L3L2Q_PROBES
#include <sys/sdt.h>

/* A tool that has enabled a probe reads the arguments where they are. */
#define L3L2Q_PROBE3(name, core, a) \
	DTRACE_PROBE3(l3l2q, name, (core)->region_id, (core)->role, a)
#define L3L2Q_PROBE4(name, core, a, b) \
	DTRACE_PROBE4(l3l2q, name, (core)->region_id, (core)->role, a, b)
#define L3L2Q_PROBE5(name, core, a, b, c) \
	DTRACE_PROBE5(l3l2q, name, (core)->region_id, (core)->role, a, b, c)
#else
#define L3L2Q_PROBE3(name, core, a) \
	((void)(core), (void)(a))
#define L3L2Q_PROBE4(name, core, a, b) \
	((void)(core), (void)(a), (void)(b))
#define L3L2Q_PROBE5(name, core, a, b, c) \
	((void)(core), (void)(a), (void)(b), (void)(c))
#endif

/* Messages and bytes of bodies, appended so far and published so far. */
#define L3L2Q_PROBE_ENQUEUE(core, p, ret) \
	L3L2Q_PROBE5(enqueue, core, (p)->tail, \
		     (p)->laps + (p)->offset - (p)->skipped, ret)
#define L3L2Q_PROBE_PUBLISH(core, p) \
	L3L2Q_PROBE4(publish, core, (p)->withheld ? (p)->published : (p)->tail, \
		     (p)->withheld ? (p)->published_bytes : \
		     (p)->laps + (p)->offset - (p)->skipped)
/* Messages acquired so far, and released so far as the peer can see. */
#define L3L2Q_PROBE_PEEK(core, c, ret) \
	L3L2Q_PROBE4(peek, core, l3l2q_consumer_acquired(c), ret)
#define L3L2Q_PROBE_RELEASE(core, c, ret) \
	L3L2Q_PROBE4(release, core, (c)->head, ret)

#endif /* L3L2Q_PROBES_H */
