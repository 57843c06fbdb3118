// SPDX-License-Identifier: GPL-2.0-only
/* vmf_insert_pfn_pmd() took a pfn_t, a struct, until 6.17 did away with it. */
#include <linux/mm.h>
#include <linux/huge_mm.h>

vm_fault_t l3l2q_probe(struct vm_fault *vmf, unsigned long pfn);
vm_fault_t l3l2q_probe(struct vm_fault *vmf, unsigned long pfn)
{
	return vmf_insert_pfn_pmd(vmf, pfn, true);
}
