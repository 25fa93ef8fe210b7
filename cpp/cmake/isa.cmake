# One row per instruction set, best last: name, C++ type, processor, compiler flags, required CPU
# features (names of dispatch/cpu_features.hpp). Flags and requirements stand side by side so that a
# CPU is never admitted on less than what was compiled.
set(EMBMATH_ISA_NAMES "")

function(embmath_isa)
  cmake_parse_arguments(ROW "" "NAME;TYPE;PROCESSOR" "FLAGS;REQUIRES" ${ARGN})
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "${ROW_PROCESSOR}")
    return()
  endif()
  set(ISA_NAME ${ROW_NAME})
  set(ISA_TYPE ${ROW_TYPE})
  set(unit ${CMAKE_CURRENT_BINARY_DIR}/isa_unit_${ROW_NAME}.cpp)
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/isa_unit.cpp.in ${unit} @ONLY)
  add_library(embmath_isa_${ROW_NAME} OBJECT ${unit})
  target_link_libraries(embmath_isa_${ROW_NAME} PRIVATE embmath_options)
  # No contraction: a product that must be rounded before it is added stays rounded. No STL, hence no
  # exceptions or RTTI. GCC 12 warns about the deliberately undefined registers of its own intrinsics.
  target_compile_options(embmath_isa_${ROW_NAME} PRIVATE ${ROW_FLAGS}
    -ffp-contract=off -fno-exceptions -fno-rtti -Wno-uninitialized -Wno-maybe-uninitialized -Wno-psabi)
  list(JOIN ROW_REQUIRES " | " required)
  string(REGEX REPLACE "([a-z0-9_]+)" "feature::\\1" required "${required}")
  if(required STREQUAL "")
    set(required "0")
  endif()
  string(APPEND EMBMATH_ISA_DECLARATIONS "extern const kernel::KernelTable table_${ROW_NAME};\n")
  string(APPEND EMBMATH_ISA_ROWS "    {&table_${ROW_NAME}, ${required}},\n")
  list(APPEND EMBMATH_ISA_NAMES ${ROW_NAME})
  set(EMBMATH_ISA_DECLARATIONS "${EMBMATH_ISA_DECLARATIONS}" PARENT_SCOPE)
  set(EMBMATH_ISA_ROWS "${EMBMATH_ISA_ROWS}" PARENT_SCOPE)
  set(EMBMATH_ISA_NAMES "${EMBMATH_ISA_NAMES}" PARENT_SCOPE)
endfunction()

set(EMBMATH_X86 "^(x86_64|AMD64|amd64)$")
set(EMBMATH_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(EMBMATH_AVX512_FLAGS ${EMBMATH_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512dq -mavx512vl)

embmath_isa(NAME scalar TYPE Scalar PROCESSOR ".*")
embmath_isa(NAME avx2 TYPE Avx2 PROCESSOR "${EMBMATH_X86}"
  FLAGS ${EMBMATH_AVX2_FLAGS} REQUIRES avx2 fma f16c)
embmath_isa(NAME avx512 TYPE Avx512 PROCESSOR "${EMBMATH_X86}"
  FLAGS ${EMBMATH_AVX512_FLAGS} REQUIRES avx2 fma f16c avx512f avx512bw avx512dq avx512vl)
embmath_isa(NAME avx512_vnni TYPE Avx512Vnni PROCESSOR "${EMBMATH_X86}"
  FLAGS ${EMBMATH_AVX512_FLAGS} -mavx512vnni
  REQUIRES avx2 fma f16c avx512f avx512bw avx512dq avx512vl avx512_vnni)
embmath_isa(NAME avx512_icl TYPE Avx512Icl PROCESSOR "${EMBMATH_X86}"
  FLAGS ${EMBMATH_AVX512_FLAGS} -mavx512vnni -mavx512vpopcntdq
  REQUIRES avx2 fma f16c avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_vpopcntdq)
embmath_isa(NAME avx512_amx TYPE Avx512Amx PROCESSOR "${EMBMATH_X86}"
  FLAGS ${EMBMATH_AVX512_FLAGS} -mavx512vnni -mavx512vpopcntdq -mamx-tile -mamx-int8
  REQUIRES avx2 fma f16c avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_vpopcntdq amx_tile amx_int8)
