/** `vendor=1`: unknown fields, integers above 2^53, odd spacing and escapes; all of it valid JSON. */
export const VENDOR_FIELD =
  ', "x_vendor" : {"trace": 9007199254740993, "cost":1.10e-5,"path":"a\\/b", "name":"\\u00e9"}';
export const VENDOR_DELTA = ', "x_delta": 9007199254740995 ';
export const VENDOR_CHOICE = ', "x_choice": {"exact": 1.00, "rank" :9007199254740993}';
