// SPDX-License-Identifier: GPL-2.0-only
/* hrtimer_setup() came in 6.13; hrtimer_init() went in 6.15. */
#include <linux/hrtimer.h>

void l3l2q_probe(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *));
void l3l2q_probe(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *))
{
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
}
