# SPDX-License-Identifier: Apache-2.0
"""
What a server says over HTTP: health, metrics, the REST interface, events.

`site` puts it together. `doorman` lets requests in, `desk` has what belongs to whom, `insider` is a
user of the relay like any other. `values`, `problems`, `views`, `routes` and `openapi` do no I/O.
"""
