/**
 * Terms for the fields of a release: those that the FAIR eDNA checklist (FAIRe 1.0, fair-edna.github.io) has for a whole
 * project, MIxS's own `seq_meth`, and those of samples that may hold for a whole collection. What each takes and where it
 * is defined, as the checklist says. A table; knows no release.
 */

export interface Term {
  /** What a value is: free text unless told. */
  kind: 'text' | 'number' | 'integer' | 'yes-no' | 'choice' | 'sequence' | 'date';
  /** Of a choice; `other: ...` is always one. */
  choices?: readonly string[];
  /** Where the term is defined; FAIRe's own have no address. */
  uri?: string;
}

const mixs = (id: string): string => `https://w3id.org/mixs/${id}`;
const nmdc = (id: string): string => `https://w3id.org/nmdc/${id}`;
const dwc = (id: string): string => `http://rs.tdwg.org/dwc/terms/${id}`;
const dc = (id: string): string => `http://purl.org/dc/terms/${id}`;
/** GBIF's extension of Darwin Core for DNA-derived data. */
const DNA = 'https://rs.gbif.org/extension/gbif/1.0/dna_derived_data_2022-02-23.xml';

const text = (uri?: string): Term => ({ kind: 'text', ...(uri === undefined ? {} : { uri }) });
const number = (uri?: string): Term => ({ ...text(uri), kind: 'number' });
const integer = (uri?: string): Term => ({ ...text(uri), kind: 'integer' });
const yesNo = (uri?: string): Term => ({ ...text(uri), kind: 'yes-no' });
const sequence = (uri?: string): Term => ({ ...text(uri), kind: 'sequence' });
const date = (uri?: string): Term => ({ ...text(uri), kind: 'date' });
const choice = (choices: string, uri?: string): Term => ({
  ...text(uri),
  kind: 'choice',
  choices: choices.split(' | '),
});

const GENES =
  '12S rRNA (SSU mitochondria) | 16S rRNA (LSU mitochondria) | 16S rRNA (SSU prokaryote) | ' +
  '23S rRNA (LSU prokaryote) | 18S rRNA (SSU eukaryote) | 28S rRNA (LSU eukaryote) | rbcL | CytB | COI | COII | ' +
  'COIII | nifH | ITS | ND1 | ND2 | ND3 | ND4 | ND5 | ND6 | amoA | rpoB | rpoC1 | rpoC2 | matK | trnH | trnL | ' +
  'psbK | D-loop';
const PLATFORMS =
  'ILLUMINA | BGISEQ | CAPILLARY | DNBSEQ | ELEMENT | GENAPSYS | GENEMIND | HELICOS | ION_TORRENT | LS454 | ' +
  'OXFORD_NANOPORE | PACBIO_SMRT | TAPESTRI | VELA_DIAGNOSTICS | ULTIMA';
const PER = 'copies/reaction | copies/µL | ng/reaction | ng/µL';

export const TERMS: { readonly [name: string]: Term } = {
  // Project
  recordedBy: text(dwc('recordedBy')),
  recordedByID: text(dwc('recordedByID')),
  project_contact: text(),
  institution: text(),
  institutionID: text(dwc('institutionID')),
  project_name: text(mixs('0000092')),
  project_id: text(nmdc('project_id')),
  parent_project_id: text(),
  study_factor: text(),
  assay_type: choice('targeted | metabarcoding'),
  sterilise_method: text(),
  neg_cont_0_1: yesNo(),
  pos_cont_0_1: yesNo(),

  // Data management
  checkls_ver: number(),
  mod_date: date(nmdc('mod_date')),
  license: text(dc('license')),
  rightsHolder: text(dc('rightsHolder')),
  accessRights: text(dc('accessRights')),
  informationWithheld: text(dwc('informationWithheld')),
  dataGeneralizations: text(dwc('dataGeneralizations')),
  bibliographicCitation: text(dc('bibliographicCitation')),
  associated_resource: text(mixs('0000091')),
  code_repo: text(),

  // Samples, where one value holds for all of them
  geo_loc_name: text(mixs('0000010')),
  env_broad_scale: text(mixs('0000012')),
  env_local_scale: text(mixs('0000013')),
  env_medium: text(mixs('0000014')),
  eventDate: text(dwc('eventDate')),
  samp_mat_process: text(mixs('0000016')),
  size_frac: number(mixs('0000017')),
  filter_material: choice(
    'cellulose | cellulose ester | glass fiber | thermoplastic membrane | track etched polycarbonate | nylon | polyethersulfone',
    nmdc('filter_material'),
  ),
  nucl_acid_ext: text(mixs('0000037')),
  nucl_acid_ext_kit: text(mixs('0001223')),

  // PCR
  pcr_0_1: yesNo(),
  inhibition_check_0_1: yesNo(),
  inhibition_check: text(),
  thermocycler: text(),
  assay_name: text(),
  assay_validation: text(),
  targetTaxonomicAssay: text(),
  targetTaxonomicScope: text('http://rs.tdwg.org/eco/terms/targetTaxonomicScope'),
  target_gene: choice(GENES, mixs('0000044')),
  target_subfragment: text(mixs('0000045')),
  ampliconSize: text(DNA),
  pcr_primer_forward: sequence(DNA),
  pcr_primer_reverse: sequence(DNA),
  pcr_primer_name_forward: text(DNA),
  pcr_primer_name_reverse: text(DNA),
  pcr_primer_reference_forward: text(DNA),
  pcr_primer_reference_reverse: text(DNA),
  pcr_primer_vol_forward: number(),
  pcr_primer_vol_reverse: number(),
  pcr_primer_conc_forward: number(),
  pcr_primer_conc_reverse: number(),
  probeReporter: text(DNA),
  probeQuencher: choice(
    'Zero-End Quencher (ZEN) | TAMRA | lowa Black | Minor Groove Binder (MGB) | Black Hole Quencher (BHQ)',
    DNA,
  ),
  probe_seq: sequence(),
  probe_ref: text(),
  probe_conc: number(),
  commercial_mm: text(),
  custom_mm: text(),
  block_seq: text(),
  block_ref: text(),
  block_taxa: text(),
  amplificationReactionVolume: number(DNA),
  pcr_dna_vol: number(),
  pcr_rep: integer(),
  nucl_acid_amp: text(mixs('0000038')),
  pcr_cond: text(mixs('0000049')),
  annealingTemp: number(DNA),
  pcr_cycles: integer(nmdc('pcr_cycles')),
  pcr_analysis_software: text(DNA),
  pcr_method_additional: text(),

  // Detection by a targeted assay
  amp_vis_method: choice('qPCR | dPCR | gel electrophoresis | CE-PCR | LAMP'),
  detection_criteria: text(),
  lod_method: text(),
  pcr_assay_lod_techreps: integer(),
  pcr_assay_lod: number(DNA),
  pcr_assay_lod_unit: choice(PER),
  pcr_assay_lod_UL: number(),
  pcr_assay_lod_LL: number(),
  loq_method: text(),
  pcr_assay_loq_techreps: integer(),
  pcr_assay_loq: number(DNA),
  pcr_assay_loq_unit: choice(PER),
  pcr_assay_loq_UL: number(),
  pcr_assay_loq_LL: number(),
  std_type: choice('synthetic double-stranded DNA | plasmid | amplicon | gDNA'),
  std_source: text(),
  std_seq: sequence(),
  thresholdQuantificationCycle: number(DNA),
  baselineValue: integer(DNA),
  automaticThresholdQuantificationCycle: yesNo(DNA),
  automaticBaselineValue: yesNo(DNA),
  targeted_detection_method_additional: text(),

  // Library preparation and sequencing
  barcoding_pcr_appr: choice('one-step PCR | two-step PCR | ligation-based'),
  pcr2_thermocycler: text(),
  pcr2_amplificationReactionVolume: number(),
  pcr2_commercial_mm: text(),
  pcr2_custom_mm: text(),
  pcr2_dna_vol: number(),
  pcr2_cond: text(),
  pcr2_annealingTemp: number(),
  pcr2_cycles: integer(),
  pcr2_analysis_software: text(),
  pcr2_plate_id: text(),
  pcr2_method_additional: text(),
  sequencing_location: text(mixs('0001156')),
  seq_meth: text(mixs('0000050')),
  platform: choice(PLATFORMS),
  instrument: text(),
  seq_kit: text(),
  lib_layout: choice('paired end | single end', mixs('0000041')),
  adapter_forward: sequence(mixs('0000048')),
  adapter_reverse: sequence(),
  lib_screen: text(mixs('0000043')),
  checksum_method: choice('MD5 | SHA-256 | CRC-32'),
  seq_method_additional: text(),

  // Bioinformatics
  sop_bioinformatics: text(mixs('0000090')),
  trim_method: text(),
  trim_param: text(),
  demux_tool: text(),
  demux_max_mismatch: integer(),
  merge_tool: text(),
  merge_min_overlap: integer(),
  min_len_cutoff: integer(),
  min_len_tool: text(),
  error_rate_tool: text(),
  error_rate_type: choice('Phred score | expected error rate'),
  error_rate_cutoff: number(),
  chimera_check_method: text(mixs('0000052')),
  chimera_check_param: text(),
  otu_clust_tool: text(),
  otu_clust_cutoff: number(mixs('0000085')),
  min_reads_cutoff: text(),
  min_reads_cutoff_unit: choice('reads | %'),
  min_reads_tool: text(),
  otu_db: text(mixs('0000087')),
  otu_db_custom: text(),
  tax_assign_cat: choice('sequence similarity | sequence composition | phylogeny | probabilistic'),
  otu_seq_comp_appr: text(mixs('0000086')),
  tax_class_id_cutoff: number(),
  tax_class_query_cutoff: number(),
  tax_class_collapse: text(),
  tax_class_other: text(mixs('0000064')),
  screen_contam_method: text(),
  screen_geograph_method: text(),
  screen_nontarget_method: text(),
  screen_other: text(),
  otu_raw_description: text(),
  otu_final_description: text(),
  bioinfo_method_additional: text(),
};
