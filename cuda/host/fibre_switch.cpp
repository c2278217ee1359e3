// SPDX-License-Identifier: Apache-2.0
#include "cuda/host/fibre_switch.h"

#include <cstdint>

#if defined(__x86_64__)

// System V calling convention: context in rdi, data in rsi; the result's two words in rax and rdx. A fibre that begins
// finds the same two in rdi and rsi, as its entry's argument.
asm(R"(
.text
.globl bitcycle_switch_fibre
.hidden bitcycle_switch_fibre
.type bitcycle_switch_fibre, @function
.align 16
bitcycle_switch_fibre:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, %rax
  movq %rdi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  movq %rax, %rdi
  movq %rsi, %rdx
  jmpq *%rcx
.size bitcycle_switch_fibre, .-bitcycle_switch_fibre
)");

extern "C" bitcycle::cuda_on_host::FibreTransfer bitcycle_switch_fibre(void* context, void* data);

namespace bitcycle::cuda_on_host {

void* make_fibre_context(std::byte* stack, std::size_t bytes, FibreEntry entry) {
  auto** top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack + bytes) / 16 * 16);
  *--top = nullptr;  // in place of a return address: a function begins 8 bytes off a multiple of 16
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers
  return top;
}

FibreTransfer switch_fibre(void* context, void* data) { return bitcycle_switch_fibre(context, data); }

}  // namespace bitcycle::cuda_on_host

#else

namespace bitcycle::cuda_on_host {

void* make_fibre_context(std::byte* stack, std::size_t bytes, FibreEntry entry) {
  return boost::context::detail::make_fcontext(stack + bytes, bytes, entry);
}

FibreTransfer switch_fibre(void* context, void* data) { return boost::context::detail::jump_fcontext(context, data); }

}  // namespace bitcycle::cuda_on_host

#endif
