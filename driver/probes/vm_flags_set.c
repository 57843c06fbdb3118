// SPDX-License-Identifier: GPL-2.0-only
/* vm_flags is written through helpers only, from 6.3 and in backports. */
#include <linux/mm.h>

void l3l2q_probe(struct vm_area_struct *vma);
void l3l2q_probe(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_DONTCOPY);
	vm_flags_clear(vma, VM_MAYWRITE);
}
