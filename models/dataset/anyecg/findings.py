"""Clinical statements in plain English: SCP-ECG, SNOMED CT and the lines of LUDB, one name for one finding.

Names are ours. A statement that no table names makes the ECG unreportable rather than incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.dataset.clinical import Clinical, rhythm
from models.dataset.statements import RHYTHMS

SCP: Mapping[str, str] = {
    "NORM": "normal ECG",
    "SR": "sinus rhythm",
    "SARRH": "sinus arrhythmia",
    "SBRAD": "sinus bradycardia",
    "STACH": "sinus tachycardia",
    "AFIB": "atrial fibrillation",
    "AFLT": "atrial flutter",
    "PACE": "paced rhythm",
    "PVC": "ventricular premature beats",
    "PAC": "atrial premature beats",
    "1AVB": "first-degree AV block",
    "LPR": "prolonged PR interval",
    "LNGQT": "prolonged QT interval",
    "CLBBB": "complete left bundle branch block",
    "CRBBB": "complete right bundle branch block",
    "ILBBB": "incomplete left bundle branch block",
    "IRBBB": "incomplete right bundle branch block",
    "LAFB": "left anterior fascicular block",
    "LPFB": "left posterior fascicular block",
    "IVCD": "non-specific intraventricular conduction delay",
    "LVH": "left ventricular hypertrophy",
    "VCLVH": "voltage criteria for left ventricular hypertrophy",
    "RVH": "right ventricular hypertrophy",
    "SEHYP": "septal hypertrophy",
    "LAO/LAE": "left atrial enlargement",
    "RAO/RAE": "right atrial enlargement",
    "IMI": "inferior myocardial infarction",
    "AMI": "anterior myocardial infarction",
    "ASMI": "anteroseptal myocardial infarction",
    "ALMI": "anterolateral myocardial infarction",
    "LMI": "lateral myocardial infarction",
    "ANEUR": "ST-T changes compatible with a ventricular aneurysm",
    "QWAVE": "Q waves",
    "ABQRS": "abnormal QRS complexes",
    "LVOLT": "low QRS voltage",
    "HVOLT": "high QRS voltage",
    "ISC_": "non-specific ischemic ST-T changes",
    "ISCAL": "anterolateral ischemic ST-T changes",
    "ISCIL": "inferolateral ischemic ST-T changes",
    "ISCIN": "inferior ischemic ST-T changes",
    "ISCLA": "lateral ischemic ST-T changes",
    "INJAL": "anterolateral subendocardial injury",
    "STD_": "ST depression",
    "STE_": "ST elevation",
    "NST_": "non-specific ST changes",
    "NT_": "non-specific T-wave changes",
    "NDT": "non-diagnostic T-wave abnormalities",
    "INVT": "inverted T waves",
    "LOWT": "low T waves",
    "TAB_": "T-wave abnormality",
    "DIG": "digitalis effect",
    "EL": "changes compatible with an electrolyte disturbance",
}
SNOMED: Mapping[str, str] = {
    "426783006": "sinus rhythm",
    "426177001": "sinus bradycardia",
    "427084000": "sinus tachycardia",
    "427393009": "sinus arrhythmia",
    "426627000": "bradycardia",
    "106068003": "atrial rhythm",
    "713422000": "atrial tachycardia",
    "233897008": "AV re-entrant tachycardia",
    "164889003": "atrial fibrillation",
    "164890007": "atrial flutter",
    "425856008": "paroxysmal ventricular tachycardia",
    "10370003": "paced rhythm",
    "17338001": "ventricular premature beats",
    "164884008": "ventricular premature beats",
    "427172004": "ventricular premature beats",
    "284470004": "atrial premature beats",
    "251170000": "blocked atrial premature beats",
    "13640000": "fusion beats",
    "270492004": "first-degree AV block",
    "111975006": "prolonged QT interval",
    "164909002": "left bundle branch block",
    "59118001": "right bundle branch block",
    "713427006": "complete right bundle branch block",
    "713426002": "incomplete right bundle branch block",
    "445118002": "left anterior fascicular block",
    "698252002": "non-specific intraventricular conduction delay",
    "39732003": "left axis deviation",
    "164873001": "left ventricular hypertrophy",
    "55827005": "high left ventricular voltage",
    "67741000119109": "left atrial enlargement",
    "253352002": "left atrial abnormality",
    "446358003": "right atrial enlargement",
    "164865005": "myocardial infarction",
    "164867002": "old myocardial infarction",
    "164861001": "myocardial ischemia",
    "413844008": "chronic myocardial ischemia",
    "425623009": "lateral ischemia",
    "164917005": "abnormal Q waves",
    "251146004": "low QRS voltage",
    "429622005": "ST depression",
    "55930002": "ST changes",
    "164930006": "abnormal ST interval",
    "428750005": "non-specific ST-T abnormality",
    "164934002": "T-wave abnormality",
    "59931005": "inverted T waves",
}
_LUDB_AXIS = "Electric axis of the heart"
_LUDB = {
    "I degree AV block": "first-degree AV block",
    "III degree AV-block": "third-degree AV block",
    "Left atrial hypertrophy": "left atrial enlargement",
    "Right atrial hypertrophy": "right atrial enlargement",
    "Left anterior hemiblock": "left anterior fascicular block",
    "Non-specific intravintricular conduction delay": "non-specific intraventricular conduction delay",
    "UNIpolar ventricular pacing": "paced rhythm (unipolar ventricular)",
    "BIpolar ventricular pacing": "paced rhythm (bipolar ventricular)",
    "UNIpolar atrial pacing": "paced rhythm (unipolar atrial)",
    "Biventricular pacing": "paced rhythm (biventricular)",
    "Rhythm: Irregular sinus rhythm": "sinus arrhythmia",
    "Rhythm: Atrial flutter, typical": "atrial flutter",
}
_LUDB_HEADS = {
    "Undefined ischemia/scar/supp.NSTEMI": "undefined ischemia, scar or non-ST-elevation infarction",
    "STEMI": "ST-elevation myocardial infarction",
    "Scar formation": "scar",
    "Ischemia": "ischemia",
    "Non-specific repolarization abnormalities": "non-specific repolarization abnormality",
    "Ventricular extrasystole, type": "ventricular premature beats",
    "Ventricular extrasystole, morphology": "ventricular premature beats",
    "Ventricular extrasystole, localisation": "ventricular premature beats",
    "Atrial extrasystole": "atrial premature beats",
    "Atrial extrasystole, type": "atrial premature beats",
}


def finding(source: str, statement: str) -> str | None:
    """The plain name of one statement of a database, None where there is none."""
    if source == "ptbxl":
        return SCP.get(statement)
    if source == "cinc2021":
        return SNOMED.get(statement)
    return _LUDB.get(statement) or _ludb_line(statement)


def _ludb_line(line: str) -> str:
    head, _, rest = line.partition(": ")
    if head == _LUDB_AXIS:
        return rest if "axis" in rest else f"{rest} electrical axis"
    if head == "Rhythm" or head not in _LUDB_HEADS:
        words = rest or head
        return words[:1].lower() + words[1:]
    name = _LUDB_HEADS[head]
    return name if "premature" in name else f"{name} ({rest})"


def findings(ecg: Clinical) -> list[str] | None:
    """Every finding stated, rhythm first; None where a statement has no name or none is stated."""
    words = [(statement not in RHYTHMS, finding(ecg.source, statement)) for statement in ecg.statements]
    if not words or any(name is None for _, name in words):
        return None
    return list(dict.fromkeys(name for _, name in sorted(words, key=lambda word: word[0]) if name))


def rhythm_words(ecg: Clinical) -> str | None:
    """The rhythm in the words of its statements; None where unstated or several."""
    label = rhythm(ecg)
    if label is None:
        return None
    names = [finding(ecg.source, s) for s in ecg.statements if RHYTHMS.get(s) == label]
    return ", ".join(dict.fromkeys(name for name in names if name)) or None


def clinical_reference(ecg: Clinical, leads: tuple[str, ...]) -> dict[str, Any]:
    """The whole recording, in seconds, with these leads."""
    seconds = round(ecg.microvolts.shape[1] / ecg.fs, 4)
    return {"record": ecg.record, "start": 0.0, "end": seconds, "leads": list(leads)}
