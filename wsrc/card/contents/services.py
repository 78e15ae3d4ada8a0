# SPDX-License-Identifier: Apache-2.0
"""The services of a USIM by their numbers (3GPP TS 31.102 clause 4.2.8)."""

from typing import Final

_NAMES: Final = """\
local phone book
fixed dialling numbers
extension 2
service dialling numbers
extension 3
barred dialling numbers
extension 4
outgoing call information
incoming call information
short messages
short message status reports
short message service parameters
advice of charge
capability configuration parameters 2
cell broadcast message identifiers
cell broadcast message identifier ranges
group identifier level 1
group identifier level 2
service provider name
user controlled PLMN selector
MSISDN
images
localised service areas
eMLPP
automatic answer for eMLPP

GSM access
data download by SMS-PP
data download by SMS-CB
call control by USIM
MO-SMS control by USIM
RUN AT COMMAND
(set to 1)
enabled services table
APN control list
depersonalisation control keys
co-operative networks
GSM security context
CPBCCH information
investigation scan
MExE
operator controlled PLMN selector
HPLMN selector
extension 5
PLMN network name
operator PLMN list
mailbox dialling numbers
message waiting indication
call forwarding indication
(ignored)
service provider display information
multimedia messaging
extension 8
call control on GPRS
MMS user connectivity parameters
network's indication of alerting
VGCS group identifiers
VBS group identifiers
pseudonym
user controlled PLMN selector for I-WLAN
operator controlled PLMN selector for I-WLAN
user controlled WSIDs
operator controlled WSIDs
VGCS security
VBS security
WLAN reauthentication identity
multimedia messages storage
GBA
MBMS security
data download by USSD
equivalent HPLMN
additional TERMINAL PROFILE after activation
equivalent HPLMN presentation
last RPLMN selection
OMA BCAST smart card profile
GBA-based local key establishment
terminal applications
service provider name icon
PLMN network name icon
connectivity parameters for IP connections
home I-WLAN identifiers
I-WLAN equivalent HPLMN presentation
I-WLAN HPLMN priority
I-WLAN last registered PLMN
EPS mobility management information
allowed CSG lists
call control on EPS PDN connection
HPLMN direct access
eCall data
operator CSG lists
SM-over-IP
CSG display control
communication control for IMS
extended terminal applications
UICC access to IMS
NAS configuration
PWS configuration

URIs by UICC
extended EARFCN
ProSe
USAT application pairing
media types
IMS call disconnection cause
URIs for MO short message control
ePDG configuration information
ePDG configuration information configured
ACDC
mission critical services
ePDG configuration for emergency service
ePDG configuration for emergency service configured
eCall data over IMS
URIs for SMS-PP download
From Preferred
IMS configuration data
TV configuration
3GPP PS data off
3GPP PS data off service list
V2X
XCAP configuration data
EARFCN list for MTC and NB-IoT
5GS mobility management information
5G security parameters
subscription identifier privacy
SUCI calculation by the USIM
UAC access identities
control plane-based steering in VPLMN
call control on PDU session
5GS operator PLMN list
SUPI of type NSI, GLI or GCI
3GPP PS data off, home and roaming lists
URSP by USIM
5G security parameters extended
MuD and MiD configuration data
trusted non-3GPP access networks
"""

SERVICES: Final = dict(enumerate(_NAMES.splitlines(), 1))
"""What each number is, in a few words; empty where it is not in use."""
