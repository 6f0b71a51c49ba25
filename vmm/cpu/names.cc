// SPDX-License-Identifier: Apache-2.0
//
// Names of the feature bits, as Linux and QEMU spell them.
#include "vmm/cpu/fields.h"

#include <algorithm>

namespace godwit::cpu {

namespace {

struct NamedRegister {
    std::uint32_t function;
    std::uint32_t index;
    Register reg;
    std::string_view names; // from bit 0 up, with spaces between them; "-" for a bit without a name
};

constexpr std::array kNames{
    NamedRegister{0x1, 0, Register::Edx,
                  "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - "
                  "ds acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
    NamedRegister{0x1, 0, Register::Ecx,
                  "sse3 pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - "
                  "pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c "
                  "rdrand hypervisor"},
    NamedRegister{0x6, 0, Register::Eax, "dtherm ida arat - pln - pts hwp"},
    NamedRegister{0x6, 0, Register::Ecx, "aperfmperf - - epb"},
    NamedRegister{0x7, 0, Register::Ebx,
                  "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a "
                  "avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt clwb intel_pt avx512pf "
                  "avx512er avx512cd sha_ni avx512bw avx512vl"},
    NamedRegister{0x7, 0, Register::Ecx,
                  "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq "
                  "avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid key_locker "
                  "bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks"},
    NamedRegister{0x7, 0, Register::Edx,
                  "- sgx_keys avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl "
                  "md_clear rtm_always_abort - - serialize hybrid tsxldtrk - pconfig arch_lbr ibt - "
                  "amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl stibp flush_l1d arch_capabilities "
                  "core_capabilities ssbd"},
    NamedRegister{0x7, 1, Register::Eax,
                  "sha512 sm3 sm4 - avx_vnni avx512_bf16 lass cmpccxadd - - fzrm fsrs fsrc - - - - fred "
                  "lkgs wrmsrns - amx_fp16 hreset avx_ifma - - lam"},
    NamedRegister{0x7, 1, Register::Edx,
                  "- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - avx_vnni_int16 - - - prefetchiti "
                  "- - - cet_sss avx10 - apx_f"},
    NamedRegister{0x7, 2, Register::Edx, "psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no"},
    NamedRegister{0xd, 0, Register::Eax,
                  "xsave-x87 xsave-sse xsave-avx xsave-bndregs xsave-bndcsr xsave-opmask xsave-zmm_hi256 "
                  "xsave-hi16_zmm xsave-pt xsave-pkru"},
    NamedRegister{0xd, 1, Register::Eax, "xsaveopt xsavec xgetbv1 xsaves xfd"},
    NamedRegister{0x40000001, 0, Register::Eax,
                  "kvm-clocksource kvm-nop-io-delay kvm-mmu-op kvm-clocksource2 kvm-async-pf kvm-steal-time "
                  "kvm-pv-eoi kvm-pv-unhalt - kvm-pv-tlb-flush kvm-async-pf-vmexit kvm-pv-send-ipi "
                  "kvm-poll-control kvm-pv-sched-yield kvm-async-pf-int kvm-msi-ext-dest-id "
                  "kvm-hc-map-gpa-range kvm-migration-control - - - - - - kvm-clocksource-stable"},
    NamedRegister{0x80000001, 0, Register::Ecx,
                  "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs "
                  "xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext "
                  "ptsc perfctr_llc mwaitx"},
    NamedRegister{0x80000001, 0, Register::Edx,
                  "fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov pat pse36 - - nx - "
                  "mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow"},
    NamedRegister{0x80000007, 0, Register::Edx, "- - - - - - - - invtsc"},
    NamedRegister{0x80000008, 0, Register::Ebx,
                  "clzero irperf xsaveerptr invlpgb rdpru - - - - wbnoinvd - - ibpb - ibrs stibp - "
                  "stibp_always_on ibrs_preferred ibrs_same_mode - - - ppin amd_ssbd virt_ssbd amd_ssb_no "
                  "cppc amd_psfd btc_no ibpb_ret"},
    NamedRegister{0x80000021, 0, Register::Eax,
                  "no_nested_data_bp - lfence_always_serializing smm_page_cfg_lock - - null_sel_clr_base - "
                  "auto_ibrs no_smm_ctl_msr - - - prefetch_ctl_msr - - - cpuid_user_dis epsf - - - - - - - "
                  "- sbpb ibpb_brtype srso_no srso_user_kernel_no"},
    NamedRegister{0x80000021, 0, Register::Ecx, "- tsa_sq_no tsa_l1_no"},
};

constexpr std::string_view kArchCapabilities = "rdcl-no ibrs-all rsba skip-l1dfl-vmentry ssb-no mds-no "
                                               "pschange-mc-no tsx-ctrl taa-no - misc-package-ctls "
                                               "energy-filtering doitm sbdr-ssdp-no fbsdp-no psdp-no - "
                                               "fb-clear fb-clear-ctrl rrsba bhi-no xapic-disable - "
                                               "overclocking pbrsb-no gds-ctrl gds-no rfds-no rfds-clear";

std::string_view word(std::string_view words, unsigned number) {
    for (; number != 0 && !words.empty(); --number)
        words.remove_prefix(std::min(words.find(' '), words.size() - 1) + 1);
    words = words.substr(0, words.find(' '));
    return words == "-" ? std::string_view{} : words;
}

} // namespace

std::string_view bit_name(std::uint32_t function, std::uint32_t index, Register reg, unsigned bit) {
    for (const NamedRegister& named : kNames)
        if (named.function == function && named.index == index && named.reg == reg)
            return word(named.names, bit);
    return {};
}

std::string_view msr_bit_name(std::uint32_t index, unsigned bit) {
    if (index == 0x10a)
        return word(kArchCapabilities, bit);
    return index == 0xce && bit == 31 ? "cpuid-fault" : std::string_view{};
}

} // namespace godwit::cpu
